"""What runs inside a child process: the only package that imports torch and the training stack."""
