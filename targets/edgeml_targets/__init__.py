"""What a target is, how its runtimes load a model, and how exporters write one."""
