"""The window: `python app.py`, `gradio app.py`, and what a Space runs."""

from workbench.ui.serve import arguments_or_exit, serve_or_exit, window_or_exit

# Read before the window is built, which takes seconds: what is wrong with them is told at once.
arguments = arguments_or_exit() if __name__ == "__main__" else None

demo = window_or_exit()

if arguments:
    serve_or_exit(arguments, demo)
