"""What is wrong with parameters of a run that are each allowed, but not together or not with its data; found before anything is trained."""
from sharedlabel import choices, folders
from sharedlabel.runs import names
from sharedlabel.runs.errors import ParameterError, show

MOST_GIB = 16  # that a folder's pixels may take


def data_set(params: dict) -> choices.DataSet:
    """What is known of a run's data set before it is loaded. FolderError where it is a folder that cannot be used."""
    found = choices.DATASETS[params["dataset"]]
    if params["dataset"] != "folder":
        return found
    given = folders.read(params.get("path", ""))
    smallest = {"smallest_class": min(map(len, given.train)), "largest_tuple": min(map(len, given.test))}
    return found._replace(side=params["image_size"], classes=len(given.classes), **smallest)


def images_contradictions(params: dict):
    """As `contradictions`, of what the smallest class has too few images for, or a folder of one's own images too many."""
    known, own = data_set(params), params["dataset"] == "folder"
    given = folders.read(params["path"]) if own else None
    smallest = {part: f"the smallest class of {params['dataset']}" for part in ("train", "test")}
    if own:
        smallest = {part: f"{given.path}'s class {min(zip(map(len, getattr(given, part)), given.classes))[1]}" for part in smallest}
    train = known.smallest_class
    held = round(params["held_out"] * train)
    if not 0 < held < train:
        yield (f"held_out: {params['held_out']} of the {train} training images in {smallest['train']} is {held}; "
               "every class needs some held out and some left")
    for size in ("tuple_size", "train_n"):
        used = size == "train_n" or params.get("cnn_method") != "baseline"
        if used and params.get(size, 1) > min(held, train - held):
            yield f"{size}: {params[size]} is not allowed; {held} images of {smallest['train']} are held out, a tuple has no more"
    if max(params["n"]) > known.largest_tuple:
        yield f"n: {max(params['n'])} is not allowed; {smallest['test']} has {known.largest_tuple} test images, a tuple has no more"
    count = sum(map(len, (*given.train, *given.test))) if own else 0
    gib = 3 * count * params.get("image_size", 0) ** 2 / 2**30
    if gib > MOST_GIB:
        yield f"image_size: {params['image_size']} is not allowed; {count} images of {given.path} take {gib:.0f} GiB, more than {MOST_GIB}"


def contradictions(params: dict):
    """A message for each thing that is wrong."""
    dataset, model, n = params["dataset"], params["model"], params["n"]
    channels, training = choices.DATASETS[dataset].channels, params.get("cnn_training", "frozen")
    yield from images_contradictions(params)
    for name, only in {"path": "", "image_size": names.LATER_PARAMETERS["image_size"]}.items():
        if dataset != "folder" and params.get(name, only) != only:
            yield f"{name}: {show(params[name])} is for the data set folder; allowed with {dataset}: {only!r}"
    network = choices.ALL_MODELS[model]
    try:
        names.results_folder(params["results"])
    except ParameterError as error:
        yield str(error)
    known, together, pool = data_set(params), params.get("tuples_per_batch"), params.get("pool", 1)
    classes, side = known.classes, known.side
    if together and classes % together and params.get("cnn_method") != "baseline":
        yield (
            f"tuples_per_batch: {together} is not allowed; batches cut the {classes} classes of {dataset} into equal parts, so it divides "
            f"{classes}; 0 is one tuple of every class"
        )
    if len(set(n)) < len(n):
        yield f"n: {show(n)} names a value twice"
    if network.layers and params.get("free_layers", 1) > network.layers:
        yield f"free_layers: {params['free_layers']} is not allowed; {model} has from 1 to {network.layers} layers to leave free"
    if channels and network.channels not in (None, channels):  # those of a folder are known once it is decoded
        read, use = network.channels, choices.networks_for(channels)
        yield f"model: {model} reads {read} colour channels, and an image of {dataset} has {channels}; use one of {use}"
    one_image = [("batch_size", params.get("batch_size") == 1)]
    one_image += [("tuples_per_batch", together == 1 == params.get("tuple_size", params.get("train_n")))]
    for name, is_one in one_image:
        if network.batch_norm and is_one:
            yield f"{name}: 1 is not allowed; {model} has BatchNorm, which needs two images or more, each batch"
    if model in choices.SMALL_MODELS:
        if "pool" not in params:
            yield f"model: {model!r} is for the method small_dense; allowed: {', '.join(choices.MODELS)}"
        elif params["width"] and model != "mlp":
            yield f"width: {params['width']} is for networks with hidden units; allowed with model {model}: 0"
        elif params["rho"] and model == "lda":
            yield f"rho: {params['rho']:g} is for networks that are trained; allowed with model lda: 0"
    if side % pool:
        allowed = ", ".join(str(each) for each in range(1, side + 1) if side % each == 0)
        yield f"pool: {pool} is not allowed; it divides an image's {side} x {side} pixels into squares, so it is one of {allowed}"
    if pool > 1 and params["augment"] != "none":
        yield f"augment: {params['augment']!r} moves whole pixels; allowed with pool {pool}: none"
    if training != "frozen" and network.embedding != "logits":
        others = " and ".join(name for name, each in choices.MODELS.items() if each.embedding == "logits")
        yield f"cnn_training: {training!r} is for networks whose embeddings are their logits, {others}; allowed for {model}: frozen"
    for name, only in {"standardised": False, "precision": "float32"}.items():  # of embeddings that are computed once
        if training != "frozen" and params[name] != only:
            yield f"{name}: {params[name]!r} is for a frozen CNN; allowed with cnn_training {training}: {only!r}"
    if params.get("readout") in choices.LOGIT_READOUTS and params["embedding"] != "logits":
        yield f"embedding: {params['embedding']!r} is for a readout with weights; allowed with readout {params['readout']}: logits"
    if "architecture" in params and n != [params["train_n"]]:
        built = params["train_n"]
        yield f"n: {show(n)} is not allowed; a graph network is built for train_n = {built} images, so allowed is [{built}]"
