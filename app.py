"""The window: `python app.py`, `gradio app.py`, and what a Space runs."""

from workbench.ui.serve import main, window_in_words

demo = window_in_words()

if __name__ == "__main__":
    raise SystemExit(main(demo))
