"""What becomes of outputs that are not simply sent: classified, or laid into shared memory."""

from __future__ import annotations

from collections.abc import Sequence

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.classification import classified_layout, classify
from clockwork_triton.frontend.request import InferResponse, OutputOption
from clockwork_triton.repository.model import ServedModel


def deliver(response: InferResponse, options: Sequence[OutputOption], model: ServedModel) -> InferResponse:
    """The response with the options carried out. An output in a region has no data left.

    ServerError INVALID_ARG for a datatype that cannot be classified, INTERNAL for a region that is too small
    or cannot be written.
    """
    batches = model.max_batch_size > 0
    places = {tensor.name: place for place, tensor in enumerate(response.layout.tensors)}
    data = list(response.data)
    classes: list[tuple[str, int]] = []
    for name, count, region in options:
        place = places[name]
        if count:
            tensor = response.layout.tensors[place]
            data[place] = classify(data[place], tensor, batches, count, model.labels.get(name, ()))
            classes.append((name, count))
        elif region is not None:
            if len(data[place]) > len(region):
                raise ServerError(
                    Code.INTERNAL,
                    f"shared memory size specified with the request for output '{name}' ({len(region)} bytes)"
                    f" should be at least {len(data[place])} bytes to hold the results",
                )
            region.write(data[place])
            data[place] = b""
    layout = response.layout
    if classes:
        layout = classified_layout(layout, batches, tuple(classes))
    return response._replace(layout=layout, data=data)
