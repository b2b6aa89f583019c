"""What the Prefect server is to do by itself; ``python -m deployments.automations`` sets it up.

A flow run whose machine is gone stays ``Running`` for ever in an open source Prefect server: nobody
is left to say otherwise. Flow runs of our deployments send a heartbeat every 30 seconds (see
``prefect.yaml``); the automation made here calls a run crashed that has sent nothing for three of
them, so that `process-manifest` hands its shard to another worker.
"""

from __future__ import annotations

import sys
from datetime import timedelta

from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

HEARTBEAT_S = 30


def heartbeat_automation(within: timedelta = timedelta(seconds=3 * HEARTBEAT_S)) -> Automation:
    """Any flow run that has sent a heartbeat, and then nothing for ``within``, has crashed."""
    return Automation(
        name="tracker: flow runs without a heartbeat have crashed",
        description="made by deployments/automations.py",
        trigger=EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.*"},
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=within,
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED, message=f"no heartbeat for {within.total_seconds():.0f} s"
            )
        ],
    )


def ensure(automation: Automation) -> str:
    """Make an automation, or bring the one of its name up to date; returns what was done."""
    with get_client(sync_client=True) as client:
        found = client.read_automations_by_name(automation.name)
    if not found:
        automation.create()
        return "created"
    automation.id = found[0].id
    automation.update()
    return "updated"


def main() -> None:
    """Set up everything; safe to repeat."""
    automation = heartbeat_automation()
    sys.stdout.write(f"{automation.name}: {ensure(automation)}\n")


if __name__ == "__main__":
    main()
