import pytest
import torch

from memgan.encoders.image import ImageEncoder, InceptionTrunk
from tests.factory import damsm_block


@pytest.mark.parametrize("size", [8, 16, 32, 64])
def test_small_encoder_gives_a_grid_of_regions(size):
    encoder = ImageEncoder(damsm_block(image_encoder="small", dimension=10, width=4), size).eval()
    regions, globals_ = encoder(torch.rand(2, 3, size, size) * 2 - 1)
    assert regions.shape == (2, 10, 4, 4)
    assert globals_.shape == (2, 10)


def test_every_parameter_and_the_image_get_gradients():
    torch.manual_seed(0)
    encoder = ImageEncoder(damsm_block(image_encoder="small", dimension=10, width=4), 16)
    images = (torch.rand(4, 3, 16, 16) * 2 - 1).requires_grad_()
    regions, globals_ = encoder(images)
    (regions.square().sum() + globals_.square().sum()).backward()
    for name, tensor in [*encoder.named_parameters(), ("images", images)]:
        assert tensor.grad.isfinite().all(), name
        assert tensor.grad.abs().sum() > 0, name


@pytest.fixture(scope="module")
def inception() -> ImageEncoder:
    torch.manual_seed(0)
    return ImageEncoder(damsm_block(image_encoder="inception_v3", dimension=10), 32)


def test_inception_gives_the_lineage_s_shapes():
    with torch.device("meta"):
        encoder = ImageEncoder(damsm_block(image_encoder="inception_v3", dimension=256), 256)
        trunk = encoder.trunk(torch.empty(2, 3, 256, 256))
        assert [x.shape for x in trunk] == [(2, 768, 17, 17), (2, 2048)]
        regions, globals_ = encoder(torch.empty(2, 3, 256, 256))
    assert regions.shape == (2, 256, 17, 17)
    assert globals_.shape == (2, 256)


def test_inception_is_frozen_and_stays_in_eval_mode(inception):
    inception.train()
    assert inception.training
    assert not any(module.training for module in inception.trunk.modules())
    trained = [name for name, parameter in inception.named_parameters() if parameter.requires_grad]
    assert trained == ["regions.weight", "globals.weight", "globals.bias"]


def test_the_trained_maps_start_as_pytorchs_do(inception):
    """U(-1 / sqrt(n), 1 / sqrt(n)) for n inputs; the lineage's U(-0.1, 0.1) is three to five times as wide."""
    for layer, inputs in ((inception.regions, 768), (inception.globals, 2048)):
        weight, bound = layer.weight.detach(), inputs**-0.5
        assert 0.95 * bound < float(weight.abs().max()) <= bound
        assert float(weight.std()) == pytest.approx(bound / 3**0.5, rel=0.05)


def test_images_get_gradients_through_inception(inception):
    image = torch.randn(1, 3, 32, 32, requires_grad=True)
    for module in inception.trunk.modules():  # untrained weights let the signal fade; this keeps its size
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    inception(image)[1].sum().backward()
    assert image.grad.isfinite().all()
    assert image.grad.abs().sum() > 0


def test_inception_s_layers_are_torchvision_s():
    """Regions are what leaves Mixed_6e (Mixed_6b to 6d have its shape), the whole is the mean of what leaves Mixed_7c."""
    from torchvision.models import inception_v3

    torch.manual_seed(2)
    whole, trunk, seen = inception_v3(weights=None, init_weights=False, transform_input=False).eval(), InceptionTrunk(), {}
    for module in whole.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    trunk.load_imagenet(whole.state_dict())
    for name in ("Mixed_6e", "avgpool"):
        getattr(whole, name).register_forward_hook(lambda module, given, made, name=name: seen.update({name: made}))
    images = torch.rand(1, 3, 299, 299) * 2 - 1
    with torch.no_grad():
        whole(images)
        regional, pooled = trunk(images)
    torch.testing.assert_close(regional, seen["Mixed_6e"])
    torch.testing.assert_close(pooled, seen["avgpool"].flatten(1))
    assert regional.std() > 0.01


def test_inception_takes_torchvision_s_file():
    """A state dict with torchvision's names, classifier and auxiliary head included."""
    from torchvision.models import inception_v3

    torch.manual_seed(1)
    weights = inception_v3(weights=None, init_weights=False).state_dict()
    trunk = InceptionTrunk()
    trunk.load_imagenet(weights)
    loaded = trunk.state_dict()
    assert set(weights) - set(loaded) == {name for name in weights if name.startswith(("fc.", "AuxLogits."))}
    assert all(torch.equal(loaded[name], weights[name]) for name in loaded)
