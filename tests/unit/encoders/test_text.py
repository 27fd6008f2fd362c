import pytest
import torch

from memgan.encoders.text import TextEncoder, mask_of
from tests.factory import damsm_block

LENGTHS = torch.tensor([3, 6, 1, 4])


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    torch.manual_seed(0)
    return TextEncoder(20, damsm_block(dimension=12, word_embedding=7, dropout=0.5)).double().eval()


def tokens_of(lengths: torch.Tensor, words: int) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randint(1, 20, (len(lengths), words)) * mask_of(lengths, words)


def test_mask():
    assert mask_of(torch.tensor([1, 3]), 3).tolist() == [[True, False, False], [True, True, True]]


def test_words_are_zero_at_padding_and_only_there(encoder):
    words, sentence = encoder(tokens_of(LENGTHS, 8), LENGTHS)
    assert words.shape == (4, 12, 8)
    assert sentence.shape == (4, 12)
    mask = mask_of(LENGTHS, 8)
    assert words.transpose(1, 2)[~mask].eq(0).all()
    assert words.transpose(1, 2)[mask].ne(0).all()


def test_sentence_is_the_last_state_of_each_direction(encoder):
    words, sentence = encoder(tokens_of(LENGTHS, 8), LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        torch.testing.assert_close(sentence[row, :6], words[row, :6, length - 1])
        torch.testing.assert_close(sentence[row, 6:], words[row, 6:, 0])


def test_neither_padding_nor_the_rest_of_the_batch_matters(encoder):
    tokens = tokens_of(LENGTHS, 8)
    words, sentence = encoder(tokens, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = encoder(tokens[row : row + 1, :length], LENGTHS[row : row + 1])
        torch.testing.assert_close(alone[0][0], words[row, :, :length])
        torch.testing.assert_close(alone[1][0], sentence[row])


def test_the_word_table_starts_small():
    table = TextEncoder(500, damsm_block(word_embedding=40)).embedding.weight
    assert 0.099 < table.abs().max() <= 0.1
    assert abs(table.std() - 0.2 / 12**0.5) < 1e-3  # uniform


def test_dropout_acts_in_training_only(encoder):
    tokens = tokens_of(LENGTHS, 6)
    torch.testing.assert_close(encoder(tokens, LENGTHS)[1], encoder(tokens, LENGTHS)[1])
    encoder.train()
    torch.manual_seed(0)
    first, second = encoder(tokens, LENGTHS)[1], encoder(tokens, LENGTHS)[1]
    encoder.eval()
    assert (first - second).abs().max() > 1e-3


def test_every_parameter_gets_a_gradient():
    encoder = TextEncoder(20, damsm_block(dimension=12, word_embedding=7))
    words, sentence = encoder(tokens_of(LENGTHS, 6), LENGTHS)
    (words.square().sum() + sentence.square().sum()).backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name
