"""The adapters beside one base model: loaded when they are first asked for, mixed in one batch, each with its own strength."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.core.errors import WorkbenchError
from workbench.core.memory.answering import adapters_to_drop
from workbench.store.adapter_files import adapter_bytes, check_adapter, why_alone

if TYPE_CHECKING:
    from workbench.engine.rewards import RewardAdapter

NO_ADAPTER = "__base__"
"""PEFT's name for a row of a batch that no adapter touches."""

REWARD = "reward"
"""PEFT's name for the adapter of a reward model, which scores and does not answer."""

Who = tuple[str, float]
"""Weights as they are now, and their strength."""

# What PEFT's layers hold of an adapter: under a second name the same weights may act with another strength.
_OF_LAYER = ("lora_A", "lora_B", "lora_dropout", "lora_embedding_A", "lora_embedding_B")


@dataclass(frozen=True)
class Lane:
    """Who gives an answer: an adapter's folder (None: the base model), the strength that it acts with, and whether it is to
    think before it answers."""

    folder: str | None
    strength: float = 1.0
    thinking: bool = False

    @property
    def is_base(self) -> bool:
        return self.folder is None or self.strength == 0


@dataclass(frozen=True)
class _Adapter:
    name: str  # PEFT's
    size: int  # bytes
    alone: str  # why it acts on whole batches only, and not with other strengths; "" where it does not


class Adapters:
    """model: the base model, or it with adapters around. room: bytes that may still be taken on the device."""

    def __init__(self, model: Any, room: Callable[[], int]):
        self.model = model
        self._room = room
        self._loaded: dict[str, _Adapter] = {}  # the one that was used longest ago first
        self._made = 0
        self._reward: tuple[str, RewardAdapter] | None = None  # with its key; one at a time

    @property
    def are_there(self) -> bool:
        return bool(self._loaded)

    def load(self, lanes: Sequence[Lane]) -> bool:
        """See to it that the adapters of some lanes are there, and drop others where room is short. Whether one was loaded.

        Raises WorkbenchError for an adapter that is gone, damaged or of another model, or that cannot act with such a strength.
        """
        wanted = {_key(lane.folder): lane.folder for lane in lanes if lane.folder and not lane.is_base}
        new = {key: folder for key, folder in wanted.items() if key not in self._loaded}
        sizes = {key: adapter_bytes(Path(folder), _title(folder)) for key, folder in new.items()}
        if new:
            self._make_room(sum(sizes.values()), wanted)
        for key, folder in new.items():
            self._add(key, Path(folder), sizes[key])
        for key in wanted:
            self._loaded[key] = self._loaded.pop(key)
        for lane in lanes:
            if not lane.is_base and lane.strength != 1 and (why := self._of(lane).alone):
                raise WorkbenchError(f"{_title(lane.folder)[0].upper()}{_title(lane.folder)[1:]} {why}")
        return bool(new)

    def reward(self, folder: str, tokenizer: Any, max_length: int) -> "RewardAdapter":
        """The reward model of a folder, loaded beside the adapters in the place of another one. It is dropped as they are.

        Raises WorkbenchError as `load`.
        """
        from workbench.engine.rewards import RewardAdapter

        key = f"reward {_key(folder)}"  # no lane answers with it
        if self._reward is None or self._reward[0] != key:
            if self._reward:
                self._drop(self._reward[0])
            check_adapter(Path(folder), _title(folder))
            size = adapter_bytes(Path(folder), _title(folder))
            self._make_room(size, ())
            found = RewardAdapter(self.model, tokenizer, Path(folder), max_length)
            self.model = found.model.eval()
            self._loaded[key], self._reward = _Adapter(REWARD, size, ""), (key, found)
        self._loaded[key] = self._loaded.pop(key)
        return self._reward[1]

    def _make_room(self, size: int, needed: Collection[str]) -> None:
        """Drop adapters that were not used for long until so many bytes are free, none of those that are needed."""
        there = {key: one.size for key, one in self._loaded.items()}
        for key in adapters_to_drop(there, size, sum(there.values()) + self._room(), needed):
            self._drop(key)

    def _drop(self, key: str) -> None:
        """Without any adapter the model is the base model by itself again."""
        dropped = self._loaded.pop(key)
        if self._reward and self._reward[0] == key:
            self._reward = None
        if not self._loaded:
            self.model = self.model.unload()
            return
        self.model.delete_adapter(dropped.name)
        self.model.set_adapter(next(iter(self._loaded.values())).name)  # the active one may be the one that went

    def parts(self, lanes: Sequence[Lane]) -> list[list[int]]:
        """Places of the lanes that can be in one batch. Mostly all of them; see `why_alone`."""
        alone: dict[str, list[int]] = {}
        for place, lane in enumerate(lanes):
            mixes = lane.is_base or not self._of(lane).alone
            alone.setdefault("" if mixes else str(lane.folder), []).append(place)
        return list(alone.values())

    @contextmanager
    def through(self, lanes: Sequence[Lane]) -> Iterator[None]:
        """What the model computes inside goes, row by row, through the adapters of these lanes; they are one of the `parts`."""
        if not self._loaded:
            yield
        elif not lanes[0].is_base and self._of(lanes[0]).alone:
            self.model.set_adapter(self._of(lanes[0]).name)
            yield
        else:
            with self._scaled(lanes) as names, _mixed(self.model, names):
                yield

    def who(self, lane: Lane) -> Who:
        """Whose weights answer there, with which strength: what one has read, no other one has."""
        return ("", 0.0) if lane.is_base else (_key(str(lane.folder)), lane.strength)

    def _of(self, lane: Lane) -> _Adapter:
        return self._loaded[_key(str(lane.folder))]

    def _add(self, key: str, folder: Path, size: int) -> None:
        """Load an adapter beside the ones that are there. Only safetensors."""
        from peft import PeftModel

        title = _title(str(folder))
        check_adapter(folder, title)
        name, self._made = f"adapter{self._made}", self._made + 1
        try:
            if isinstance(self.model, PeftModel):
                self.model.load_adapter(str(folder), adapter_name=name)
                self.model.set_adapter(name)  # the active one may have been dropped
            else:
                self.model = PeftModel.from_pretrained(self.model, str(folder), adapter_name=name).eval()
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise WorkbenchError(
                f"{title[0].upper()}{title[1:]} does not fit this base model: {str(error).splitlines()[0][:200]}"
            ) from error
        self._loaded[key] = _Adapter(name, size, why_alone(folder, title))

    @contextmanager
    def _scaled(self, lanes: Sequence[Lane]) -> Iterator[list[str]]:
        """PEFT's names of the lanes. One that is not as strong as it was trained gets a name of its own meanwhile, with the same
        weights and another factor."""
        from peft.tuners.lora import LoraLayer

        names = [NO_ADAPTER if lane.is_base else self._of(lane).name for lane in lanes]
        second: dict[tuple[str, float], str] = {}
        for name, lane in zip(names, lanes, strict=True):
            if not lane.is_base and lane.strength != 1:
                second.setdefault((name, lane.strength), f"scaled{len(second)}")
        layers = [layer for layer in self.model.modules() if isinstance(layer, LoraLayer)] if second else []
        try:
            for (name, strength), other in second.items():
                for layer in layers:
                    for held in [getattr(layer, part) for part in _OF_LAYER]:
                        if name in held:
                            held[other] = held[name]
                    if name in layer.scaling:
                        layer.scaling[other] = layer.scaling[name] * strength
            yield [second.get((name, lane.strength), name) for name, lane in zip(names, lanes, strict=True)]
        finally:
            for layer in layers:
                for held in [*[getattr(layer, part) for part in _OF_LAYER], layer.scaling]:
                    for other in second.values():
                        if other in held:
                            del held[other]


@contextmanager
def _mixed(model: Any, names: list[str]) -> Iterator[None]:
    """Each row of a batch through the adapter of its name.

    As PEFT does it for `adapter_names`; but where an answer is stopped, or memory runs out, PEFT 0.21 leaves its hooks behind.
    """
    from peft.tuners.lora import LoraLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    def name_rows(module: Any, arguments: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return arguments, named | {"adapter_names": names}

    layers = [module for module in model.modules() if isinstance(module, (LoraLayer, AuxiliaryTrainingWrapper))]
    hooks = [layer.register_forward_pre_hook(name_rows, with_kwargs=True) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _key(folder: str) -> str:
    """A folder as it is now: a run that goes on leaves another adapter in the same place."""
    try:
        return f"{folder} {(Path(folder) / 'adapter_model.safetensors').stat().st_mtime_ns}"
    except OSError:  # what is wrong is said when it is loaded
        return folder


def _title(folder: str | None) -> str:
    path = Path(str(folder))
    if path.parent.name in ("checkpoints", "best"):
        return f"the checkpoint {path.name} of {path.parent.parent.name}"
    return f"the adapter of {path.parent.name}"
