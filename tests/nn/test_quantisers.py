"""Quantisers: nearest vectors, moving means, restarts, k-means, and levels."""

import pytest
import torch

from latentkit.nn import ScalarQuantiser, VectorQuantiser, code_shares, perplexity


def quantiser(n_codes=4, width=2, decay=0.5, restart=0.0):
    torch.manual_seed(0)
    return VectorQuantiser(n_codes, width, decay, restart)


def test_each_vector_is_replaced_by_the_nearest_of_the_codebook():
    book = quantiser(n_codes=16, width=3).eval()
    vectors = torch.randn(5, 7, 3)
    with torch.no_grad():
        found = book(vectors)
    assert torch.equal(found.codes, torch.cdist(vectors, book.codebook).argmin(-1))
    assert torch.equal(found.vectors, book.codebook[found.codes])


@pytest.mark.parametrize("book", [quantiser(), ScalarQuantiser((5, 4))], ids=["vector", "scalar"])
def test_gradients_pass_as_if_nothing_were_replaced(book):
    vectors = (0.3 * torch.randn(6, 2)).requires_grad_()
    found = book(vectors).vectors
    found.sum().backward()
    assert vectors.grad.min() > 0.5
    assert vectors.grad.max() < 2


def test_the_codebook_moves_to_the_means_of_what_it_replaces():
    book = quantiser(n_codes=2, width=1, decay=0.5)
    book.codebook.copy_(torch.tensor([[0.0], [10.0]]))
    book(torch.tensor([[1.0], [2.0], [3.0], [11.0]]))
    assert torch.equal(book.codebook, torch.tensor([[0.0], [10.0]]))  # only update changes it
    book.update()
    # Half of the moving sums are kept: (0.5 * 0 * 1/2 + 0.5 * 6/4) / (0.5 * 1/2 + 0.5 * 3/4)
    assert torch.allclose(book.codebook, torch.tensor([[0.75 / 0.625], [3.875 / 0.375]]))
    assert torch.allclose(book.usage, torch.tensor([0.625, 0.375]))


def test_a_code_that_is_hardly_used_restarts_at_a_vector_of_the_batch():
    vectors = torch.tensor([[1.0, 1.0], [2.0, 2.0]])
    for restart, expected in ((0.9, True), (0.0, False)):
        book = quantiser(n_codes=3, restart=restart)
        book.codebook.copy_(torch.tensor([[1.0, 1.0], [2.0, 2.0], [99.0, 99.0]]))
        book(vectors)
        book.update()
        moved = book.codebook[2].tolist()
        assert (moved in vectors.tolist()) is expected
        assert torch.equal(book.codebook[:2], vectors)


def test_evaluation_records_nothing():
    book = quantiser().eval()
    before = book.codebook.clone()
    book(torch.randn(8, 2))
    book.update()
    assert torch.equal(book.codebook, before)


def test_k_means_finds_separate_clusters_and_is_always_the_same():
    centres = torch.tensor([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0], [50.0, 50.0]])
    vectors = centres.repeat(50, 1) + 0.01 * torch.randn(200, 2)
    books = [quantiser(n_codes=40, decay=0.9) for _ in range(2)]
    for seed, book in enumerate(books):
        torch.manual_seed(seed)
        book.start([vectors[:120], vectors[120:]])
    assert torch.equal(books[0].codebook, books[1].codebook)
    assert torch.cdist(vectors, books[0].codebook).amin(1).max() < 0.1


def test_k_means_of_fewer_vectors_than_codes_keeps_the_others():
    book = quantiser(n_codes=8)
    book.start([torch.ones(3, 2)])
    assert book.codebook.isfinite().all()
    assert torch.equal(book.codebook[0], torch.ones(2))


def test_values_are_replaced_by_the_levels_and_every_combination_has_its_own_code():
    book = ScalarQuantiser((3, 4)).eval()
    vectors = torch.cartesian_prod(torch.linspace(-9, 9, 99), torch.linspace(-9, 9, 99))
    with torch.no_grad():
        found = book(vectors)
    assert len(found.vectors[:, 0].unique()) == 3
    assert len(found.vectors[:, 1].unique()) == 4
    assert found.codes.unique().tolist() == list(range(12))
    pairs = torch.cat([found.vectors, found.codes[:, None]], 1).unique(dim=0)
    assert len(pairs) == 12
    assert torch.allclose(found.vectors.amin(0), -found.vectors.amax(0))


def test_eight_levels_lose_hardly_more_of_a_normal_distribution_than_the_best_eight():
    values = torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        error = (ScalarQuantiser((8,))(values).vectors - values).square().mean()
    assert 0.0345 <= error < 0.042  # 0.0345 is the least (J. Max 1960)


def test_perplexity_is_the_number_of_equally_frequent_codes():
    even = code_shares(torch.tensor([[0, 1], [2, 3]]), 8)
    assert even.tolist() == [0.25] * 4 + [0.0] * 4
    assert perplexity(even).item() == pytest.approx(4)
    assert perplexity(code_shares(torch.zeros(9, dtype=torch.int64), 8)).item() == pytest.approx(1)


def test_parts_of_bounded_memory_give_the_same_codes_and_means(monkeypatch):
    vectors, found = torch.randn(50, 2), []
    for most in (512, 3):
        monkeypatch.setattr("latentkit.nn.quantisers._CODES_AT_ONCE", most)
        book = quantiser()
        codes = book(vectors).codes
        book.update()
        found.append((codes, book.codebook.clone(), book.usage.clone()))
    (codes, *moved), (others, *also_moved) = found
    assert torch.equal(codes, others)
    for one, other in zip(moved, also_moved, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_levels_of_nan_leave_the_loss_to_say_so():
    vectors = torch.tensor([[float("nan"), 0.0]], requires_grad=True)
    found = ScalarQuantiser((5, 4))(vectors)
    assert found.vectors.isnan().any()
    assert found.codes.min() >= 0
