"""On the Model page of a machine of one's own: the workbench as a Space, with all that goes up and what it costs told before."""

import gradio as gr

from workbench.core.hub_hardware import FOR_SPACES
from workbench.jobs import deploy
from workbench.ui.parts import Html, folded, join, notice, table, text
from workbench.ui.updates import QUIET, Updates, shown_if

_HARDWARE = [
    (f"{one.title} · {f'${one.price:.2f} an hour' if one.price else 'free'}", one.id) for one in FOR_SPACES.values()
]


class DeployView:
    def __init__(self) -> None:
        with gr.Accordion("Put the workbench on a Hugging Face Space", open=False, elem_id="wb-deploy"):
            with gr.Row():
                self.space = gr.Textbox(
                    "workbench", label="Name of the Space", info="NAME or OWNER/NAME. It is private: only you can open it.",
                    max_lines=1, elem_id="wb-deploy-space",
                )  # fmt: skip
                self.hardware = gr.Dropdown(
                    _HARDWARE, value="cpu-basic", label="Hardware", elem_id="wb-deploy-hardware"
                )
                self.sleep = gr.Number(
                    60, label="Sleeps after (minutes)", info="Without a visit. Only paid hardware can be told.", minimum=5,
                    precision=0, elem_id="wb-deploy-sleep",
                )  # fmt: skip
            with gr.Row(elem_classes="wb-actions"):
                self.show = gr.Button("Show what would go up", elem_id="wb-deploy-show")
                self.send = gr.Button("Create the Space", variant="primary", visible="hidden", elem_id="wb-deploy-send")
            self.told = gr.HTML(elem_id="wb-deploy-told")

    def wire(self) -> None:
        asked = [self.space, self.hardware, self.sleep]

        def show(space: str, hardware: str, sleep: float) -> Updates:
            return {
                self.told: plan_html(deploy.plan(space.strip(), hardware, int(sleep * 60))),
                self.send: shown_if(True),
            }

        def send(space: str, hardware: str, sleep: float) -> Updates:
            address = deploy.deploy(deploy.plan(space.strip(), hardware, int(sleep * 60)))
            return {
                self.told: notice("good", "The Space is being built", address),
                self.send: gr.update(visible="hidden"),
            }

        def forget() -> Updates:
            """What was shown is not what the fields say any more."""
            return {self.told: "", self.send: gr.update(visible="hidden")}

        self.show.click(show, asked, [self.told, self.send], api_name="plan_space", **QUIET)
        self.send.click(send, asked, [self.told, self.send], api_name="deploy_space")
        gr.on([one.input for one in asked], forget, None, [self.told, self.send], **QUIET)


def plan_html(plan: deploy.Plan) -> Html:
    """What would be done, and every file, folded."""
    files = table(["File", "Bytes"], [(one.path, f"{one.bytes:,}") for one in plan.uploads])
    return join(
        notice("info", "Nothing was sent yet", plan.words[0]),
        *map(text, plan.words[1:]),
        folded("Every file that goes up", files),
    )
