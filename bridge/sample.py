"""Sample: the clip of two people that comes with the extension."""

from .backend import ROOT

CLIP = ROOT / "sample" / "walker.mp4"
