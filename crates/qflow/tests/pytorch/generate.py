"""Writes net.safetensors and tables.safetensors, quantized state_dicts of PyTorch, and run.safetensors, inputs with outputs.

Run in this folder with PyTorch 2.6 and safetensors. Activations keep one bit free, so that no kernel of PyTorch saturates, and
biases lie on the grid of the products, so that adding them in float, as FBGEMM does, and as integers is the same.
"""

import torch
from safetensors.torch import save_file
from torch import nn
from torch.ao import quantization as tq


def export(model):
    """The tensors of a quantized model under the names that load_quantized_safetensors reads."""
    tensors = {}
    for key, value in model.state_dict().items():
        place = key.removesuffix("._packed_params._packed_params")
        items = {key.replace("._packed_params._packed_weight", ".weight"): value}
        if place != key:  # a linear layer: its weight and its bias or None
            items = {place + ".weight": value[0], place + ".bias": value[1]}
        for name, item in items.items():
            if isinstance(item, torch.Tensor) and item.is_quantized:
                tensors[name + ".int_repr"] = item.int_repr()
                if item.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
                    tensors[name + ".scale"] = torch.tensor(item.q_scale(), dtype=torch.float64)
                    tensors[name + ".zero_point"] = torch.tensor(item.q_zero_point())
                else:
                    tensors[name + ".scales"] = item.q_per_channel_scales()
                    tensors[name + ".zero_points"] = item.q_per_channel_zero_points()
            elif isinstance(item, torch.Tensor):
                tensors[name] = item.detach()
    return {name: tensor.clone().contiguous() for name, tensor in tensors.items()}


def snap_bias(layer, source):
    """Rounds a bias to the grid of the products of an input from `source`."""
    weight, bias = layer._weight_bias()
    step = source.scale.item() if isinstance(source.scale, torch.Tensor) else source.scale
    step = step * weight.q_per_channel_scales()
    layer.set_weight_bias(weight, (torch.round(bias.detach() / step) * step).float())


class Net(nn.Module):
    """conv + bn + relu, depthwise conv + bn, a residual addition, a batch norm, pools, linear + relu, linear."""

    def __init__(self):
        super().__init__()
        self.quant = tq.QuantStub()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.act1 = nn.ReLU()
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.bn2 = nn.BatchNorm2d(8)
        self.add = torch.ao.nn.quantized.FloatFunctional()
        self.norm = nn.BatchNorm2d(8)
        self.pool = nn.MaxPool2d(2)
        self.average = nn.AdaptiveAvgPool2d(2)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(32, 16)
        self.act2 = nn.ReLU()
        self.fc2 = nn.Linear(16, 5, bias=False)
        self.dequant = tq.DeQuantStub()

    def forward(self, x):
        x = self.quant(x)
        x = self.act1(self.bn1(self.conv1(x)))
        x = self.norm(self.add.add(x, self.bn2(self.conv2(x))))
        x = self.average(self.pool(x))
        x = self.act2(self.fc1(self.flatten(x)))
        return self.dequant(self.fc2(x))


class Tables(nn.Module):
    """Tables of embeddings in 8 and in 4 bits, and a linear layer that quantizes its input as it comes."""

    def __init__(self):
        super().__init__()
        self.wide = nn.Embedding(6, 5)
        self.narrow = nn.EmbeddingBag(6, 4, mode="sum")
        self.fc = nn.Linear(4, 3)
        self.wide.qconfig = tq.float_qparams_weight_only_qconfig
        self.narrow.qconfig = tq.float_qparams_weight_only_qconfig_4bit

    def forward(self, indices):
        bags = self.narrow(indices, torch.tensor([0, 2]))
        return self.wide(indices), bags, self.fc(bags)


def main():
    torch.manual_seed(7)
    torch.backends.quantized.engine = "fbgemm"
    net = Net()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 2.0)
    net.eval()
    tq.fuse_modules(net, [["conv1", "bn1", "act1"], ["conv2", "bn2"], ["fc1", "act2"]], inplace=True)
    net.qconfig = tq.get_default_qconfig("fbgemm")  # activations in 0..127
    net.fc2.qconfig = tq.default_qconfig  # its weight per tensor
    tq.prepare(net, inplace=True)
    with torch.no_grad():
        for _ in range(8):
            net(torch.rand(4, 3, 8, 8) * 4 - 2)
        tq.convert(net, inplace=True)
        snap_bias(net.conv1, net.quant)
        snap_bias(net.conv2, net.conv1)
        snap_bias(net.fc1, net.norm)
        run = {}
        for name in ["quant", "conv1", "conv2", "add", "norm", "average", "fc1", "fc2"]:
            module = net.get_submodule(name)
            hook = lambda _, __, y, name=name: run.update({name: y.int_repr()})
            if name == "add":
                module = net.add.activation_post_process
            module.register_forward_hook(hook)
        x = torch.rand(2, 3, 8, 8) * 4 - 2
        y = net(x)
    run.update(input=x, output=y)
    tables = Tables().eval()
    tq.prepare(tables, inplace=True)
    tq.convert(tables, inplace=True)
    tables = tq.quantize_dynamic(tables, {nn.Linear: tq.per_channel_dynamic_qconfig})
    run["indices"] = torch.tensor([0, 5, 2])
    run["wide"], run["narrow"], run["fc"] = tables(run["indices"])
    save_file(export(net), "net.safetensors")
    save_file(export(tables), "tables.safetensors")
    save_file({name: tensor.contiguous() for name, tensor in run.items()}, "run.safetensors")
    for name, tensor in {**export(net), **export(tables), **run}.items():
        print(name, tuple(tensor.shape), tensor.dtype)


main()
