"""The window: `python app.py`, `gradio app.py`, and what a Space runs."""

from workbench.ui.serve import main, window_or_exit

demo = window_or_exit()

if __name__ == "__main__":
    raise SystemExit(main(demo))
