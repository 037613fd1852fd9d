"""scikit-learn's handwritten digits, which come with the package: the embedded default."""
import torch

from sharedlabel import choices


@choices.DataSet("digits", channels=1, side=8, classes=10, smallest_class=87, largest_tuple=87)
def digits():
    """scikit-learn's 1,797 real 8x8 handwritten digits, in two fixed stratified halves."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    pixels = torch.tensor(bunch.images, dtype=torch.uint8)[:, None]
    labels = torch.tensor(bunch.target, dtype=torch.int64)
    train, test = train_test_split(torch.arange(len(labels)), test_size=0.5, stratify=labels, random_state=0)
    return (pixels[train], labels[train]), (pixels[test], labels[test])
