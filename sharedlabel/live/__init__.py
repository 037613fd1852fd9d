"""The live network: what is left of a pruned network once nothing dead is computed (README.md).

    live = build(network, shape)       # a network under torch.nn.utils.prune's masks -> a small one of live weights only
    live(images.flatten(1)[:, live.columns])
    write_back(live, network)          # what it learned -> the pruned network

`sharedlabel.live.lstm` does the same for LSTM heads.
"""
from . import lstm
from .compiled import LiveModule
from .graph import layer_of, live_activations, trace
from .network import LiveNetwork, build, check_free, freeze, write_back

__all__ = ["LiveModule", "LiveNetwork", "build", "check_free", "freeze", "layer_of", "live_activations", "lstm", "trace", "write_back"]
