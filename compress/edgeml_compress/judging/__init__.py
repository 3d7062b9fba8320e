"""Judge: how right, how close to float and how fast a candidate is, what each layer costs, and what a target takes."""
