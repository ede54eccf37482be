"""Writes HMR2 (4D-Humans) or TokenHMR as the ONNX file that hmr2.toml or tokenhmr.toml describes.

It runs in the environment and in the folder of the project that the network is from, on the CPU:

    python .../export_body.py hmr2 hmr2.onnx
    python .../export_body.py tokenhmr tokenhmr.onnx data/checkpoints/tokenhmr_model_latest.ckpt data/checkpoints/model_config.yaml

The weights are too large for one ONNX file: they lie beside it (hmr2.onnx.data), and the two stay together.
"""

import sys
import tempfile
from pathlib import Path

import onnx
import torch

OUTPUTS = ["global_orient", "body_pose", "betas", "pred_cam"]
# The columns left and right that either network leaves out of the square picture.
MARGIN = 32


class Body(torch.nn.Module):
    """Picture [B,3,256,256] to the root's matrix [B,1,3,3], the other joints' [B,23,3,3], shape [B,10] and place in the crop [B,3]."""

    def __init__(self, backbone, head, crops_itself):
        super().__init__()
        self.backbone, self.head, self.crops_itself = backbone, head, crops_itself

    def forward(self, img):
        seen = img if self.crops_itself else img[:, :, :, MARGIN:-MARGIN]
        pose, place, _ = self.head(self.backbone(seen))
        return pose["global_orient"], pose["body_pose"], pose["betas"], place


def hmr2():
    """The network of 4D-Humans, with the checkpoint that the project fetches."""
    from hmr2.configs import CACHE_DIR_4DHUMANS
    from hmr2.models import download_models, load_hmr2

    download_models(CACHE_DIR_4DHUMANS)
    model, _ = load_hmr2()
    return Body(model.backbone, model.smpl_head, crops_itself=False)


def tokenhmr(checkpoint, config):
    """The network of TokenHMR."""
    # Its tokenizer moves a table to a GPU, which nothing here needs.
    torch.Tensor.cuda = lambda tensor, *_, **__: tensor
    sys.path.insert(0, "tokenhmr")
    from lib.models import load_tokenhmr

    model, _ = load_tokenhmr(checkpoint_path=checkpoint, model_cfg=config, is_train_state=False, is_demo=True)
    body = Body(model.backbone, model.smpl_head, crops_itself=True)
    # The head keeps the tokenizer where PyTorch does not look for weights.
    body.tokenizer = model.smpl_head.decpose.tokenize.__self__.tokenizer
    return body


def export(network, path):
    """Writes the network, for any number of pictures at a time."""
    # HMR2 calls `cross` without the axis, which PyTorch's exporter wants to know. This one takes the last.
    torch.cross = torch.linalg.cross
    names = ["img", *OUTPUTS]
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        # PyTorch writes each large tensor into a file of its own; `onnx` puts them into one.
        parts = Path(folder) / path.name
        torch.onnx.export(
            network.eval().cpu(),
            torch.zeros(1, 3, 256, 256),
            str(parts),
            opset_version=17,
            input_names=["img"],
            output_names=OUTPUTS,
            dynamic_axes={name: {0: "batch"} for name in names},
        )
        data = path.with_name(f"{path.name}.data")
        data.unlink(missing_ok=True)
        onnx.save_model(onnx.load(str(parts)), str(path), save_as_external_data=True, location=data.name)
    # Some versions of `onnx` write the weights for their owner only.
    data.chmod(path.stat().st_mode)


def main():
    match sys.argv[1:]:
        case ["hmr2", path]:
            network = hmr2()
        case ["tokenhmr", path, checkpoint, config]:
            network = tokenhmr(checkpoint, config)
        case _:
            sys.exit(__doc__)
    with torch.no_grad():
        export(network, Path(path).resolve())


if __name__ == "__main__":
    main()
