"""A trainer's looks at whether its run is still in its place."""

from transformers import TrainerCallback

from workbench.engine.place import Place


class KeepsPlace(TrainerCallback):
    """Looks at each step, batch of an evaluation and line that is logged, before anything is written there."""

    def __init__(self, place: Place):
        self._place = place

    def _look(self, *_: object, **__: object) -> None:
        self._place.check()

    on_step_end = on_prediction_step = on_evaluate = on_log = on_save = _look
