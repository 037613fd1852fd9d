"""The live network: what is left of a pruned network once nothing dead is computed."""
from sharedlabel.live.network import LiveNetwork, build, check_free, freeze, layer_of, live_activations, trace, write_back

__all__ = ["LiveNetwork", "build", "check_free", "freeze", "layer_of", "live_activations", "trace", "write_back"]
