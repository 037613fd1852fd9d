"""MNIST, CIFAR-10 and CIFAR-100, read by torchvision: downloaded where they are missing, and checked by their md5 sums."""
import torch
from torchvision.datasets.utils import check_integrity

from sharedlabel.data.location import DataError, root
from sharedlabel.runtime import exclusive_lock

# torchvision looks only whether MNIST's files are there; these are the published md5 sums.
MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def mnist():
    from torchvision.datasets import MNIST

    folder = root() / "MNIST" / "raw"
    with exclusive_lock(root() / "MNIST.lock"):
        if not all((folder / name).exists() for name in MNIST_MD5):
            try:
                MNIST(root(), download=True)
            except Exception as error:
                raise DataError(
                    f"mnist: not found, and the download failed ({error}). Put these files into {folder}, "
                    f"or point SHAREDLABEL_DATA at the folder that holds MNIST/: {', '.join(MNIST_MD5)}"
                ) from error
        for name, md5 in MNIST_MD5.items():
            if not check_integrity(folder / name, md5):
                raise DataError(f"mnist: {folder / name} is damaged (its md5 is not {md5}); delete it and fetch it again")
    sets = (MNIST(root(), train=train) for train in (True, False))
    return [(each.data[:, None].contiguous(), each.targets) for each in sets]


def cifar10():
    from torchvision.datasets import CIFAR10

    return _read_cifar(CIFAR10, "cifar10")


def cifar100():
    from torchvision.datasets import CIFAR100

    return _read_cifar(CIFAR100, "cifar100")


def _read_cifar(kind, name: str):
    folder, files = root() / kind.base_folder, dict((*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])))

    def there() -> bool:
        return all((folder / file).exists() for file in files)

    try:  # torchvision compares the files with their md5 sums
        with exclusive_lock(root() / f"{kind.base_folder}.lock"):
            sets = [kind(root(), train=train, download=not there()) for train in (True, False)]
    except Exception as error:
        damaged = [str(folder / f) for f in files if there() and not check_integrity(folder / f, files[f])]
        if damaged:
            raise DataError(f"{name}: {', '.join(damaged)} is damaged (by its md5); delete it and fetch it again") from error
        if there():
            raise
        raise DataError(
            f"{name}: not found, and the download failed ({error}). Put these files into {folder}, "
            f"or point SHAREDLABEL_DATA at the folder that holds {kind.base_folder}/: {', '.join(files)}"
        ) from error
    return [(torch.from_numpy(each.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(each.targets)) for each in sets]
