"""Where the pods of one of our objects may run, and as whom."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from whisper_operator.crd.fields import AnyObject, ObjectName, Shape, StringMap, Toleration, passthrough


class Placement(Shape):
    image_pull_secrets: Annotated[list[ObjectName], Field(max_length=16)] = Field(
        default=[], description="Secrets, in the same namespace, for the image's registry."
    )
    node_selector: StringMap | None = Field(default=None, description="Labels of the nodes that may run the pods.")
    affinity: Annotated[AnyObject, passthrough("object", "Affinity.")] | None = Field(
        default=None, description="Affinity of the pods, as in a pod."
    )
    tolerations: Annotated[list[Toleration], Field(max_length=32)] = Field(
        default=[], description="Taints that the pods endure."
    )
    priority_class_name: ObjectName | None = Field(default=None, description="Priority class of the pods.")
    scheduler_name: ObjectName | None = Field(default=None, description="Scheduler of the pods.")
    service_account_name: ObjectName | None = Field(
        default=None, description="Service account of the pods; its token is not mounted."
    )
