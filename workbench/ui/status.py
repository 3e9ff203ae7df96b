"""The line at the top: which model is loaded, what is running, how full the memory is."""

from workbench.core.training.methods import METHODS, stage_title
from workbench.jobs.app_state import AppState, Running
from workbench.jobs.meter import Meter
from workbench.ui.parts import Html, escape

_GIB = 1024**3
_AT_REST = '<span class="wb-quiet">nothing is training</span>'


def status_html(app: AppState) -> Html:
    """The whole line. It carries names that people typed, so every word is escaped."""
    model = app.loaded()
    model_words = escape(model) if model else '<span class="wb-quiet">no model loaded</span>'
    run = app.running()
    gone = app.gone()
    at_rest = f'<span class="wb-quiet">{escape(gone)}</span>' if gone else _AT_REST
    return Html(
        '<div class="wb-status"><span class="wb-brand">Workbench</span>'
        f'<span class="wb-loaded">{model_words}</span>'
        f'<span class="wb-runs">{_run(run) if run else at_rest}</span>{meter_html(app.meter())}</div>'
    )


def time_left(seconds: float) -> str:
    """Seconds as a clock: 70 -> 1:10, 3725 -> 1:02:05."""
    minutes, second = divmod(max(0, round(seconds)), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02d}:{second:02d}" if hour else f"{minute}:{second:02d}"


def _run(run: Running) -> str:
    name, stage, step, steps, seconds = run
    share = min(max(step / steps, 0), 1) if steps > 0 else 0
    words = (
        f"{stage_title(stage)} <span>step {step}/{steps}</span>"
        if stage in METHODS
        else f"<span>{escape(stage)}</span>"
    )
    left = f'<span class="wb-left">about {time_left(seconds)} left</span>' if seconds is not None else ""
    return (
        '<span class="wb-run"><span class="wb-dot" aria-hidden="true"></span><span class="wb-verb">training</span> '
        f"<b>{escape(name)}</b> {words}"
        f'<span class="wb-thin" aria-hidden="true"><span style="width:{share:.0%}"></span></span>{left}</span>'
    )


def meter_html(meter: Meter) -> str:
    """Memory, load, temperature and power, and who has how much of the memory."""
    share = min(max(meter.used / meter.total, 0), 1) if meter.total > 0 else 0
    busy = "CPU " if meter.what == "RAM" else ""
    told = [
        *([] if meter.load is None else [f"{busy}{meter.load} %"]),
        *([] if meter.temperature is None else [f"{meter.temperature} °C"]),
        *([] if meter.power is None else [f"{meter.power} W"]),
    ]
    users = ", ".join(name if size is None else f"{name} {size / _GIB:.1f} GiB" for name, size in meter.users)
    return (
        f'<span class="wb-memory"><span>{escape(meter.what)} {meter.used / _GIB:.1f} of {meter.total / _GIB:.1f} GiB'
        f'<span class="wb-thin" aria-hidden="true"><span style="width:{share:.0%}"></span></span></span>'
        + "".join(f"<span>{escape(one)}</span>" for one in told)
        + (f'<span class="wb-users" title="{escape(users)}">{escape(users)}</span>' if users else "")
        + "</span>"
    )
