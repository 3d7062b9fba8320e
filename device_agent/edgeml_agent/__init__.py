"""What runs on a device: it loads a bundle, answers, and tells the server in windows how it fares."""
