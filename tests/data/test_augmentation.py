import torch

from latentkit.data.batches import Augmentation


def images(n=64):
    return torch.rand(n, 3, 6, 9, generator=torch.Generator().manual_seed(0))


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def test_without_augmentation_options_images_are_unchanged():
    nothing = Augmentation()
    assert not nothing
    assert torch.equal(nothing(images(), stream()), images())


def test_about_half_of_the_images_are_mirrored():
    before = images()
    after = Augmentation(flip=True)(before, stream())
    mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(after, before, strict=True)]
    same = [torch.equal(a, b) for a, b in zip(after, before, strict=True)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert 16 < sum(mirrored) < 48


def test_each_image_is_shifted_by_its_own_number_of_whole_pixels():
    before = torch.zeros(200, 1, 9, 9)
    before[:, :, 4, 4] = 1
    after = Augmentation(shift=2)(before, stream())
    places = after.flatten(1).argmax(1)
    assert torch.equal(after.sum((1, 2, 3)), torch.ones(200))
    rows, columns = places // 9 - 4, places % 9 - 4
    assert set(rows.tolist()) == set(columns.tolist()) == {-2, -1, 0, 1, 2}
    assert len(set(zip(rows.tolist(), columns.tolist(), strict=True))) > 20


def test_a_shift_repeats_the_edge_pixels():
    ones = torch.ones(20, 1, 5, 5)
    assert torch.equal(Augmentation(shift=3)(ones, stream()), ones)


def test_the_same_stream_gives_the_same_images_and_another_gives_others():
    both = Augmentation(shift=2, flip=True)
    first = both(images(), stream(1))
    assert torch.equal(first, both(images(), stream(1)))
    assert not torch.equal(first, both(images(), stream(2)))
    assert first.shape == images().shape
