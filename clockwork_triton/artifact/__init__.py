"""What conversion makes of one model version for one target, and how it lies on disk."""

from clockwork_triton.artifact.manifest import Manifest, Segment, Slot, Step, TensorRef, Variant
from clockwork_triton.artifact.profile import Distribution, Profile

__all__ = ["Distribution", "Manifest", "Profile", "Segment", "Slot", "Step", "TensorRef", "Variant"]
