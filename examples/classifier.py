"""Train a classifier with three convolutions, load its weights, continue training, compare.

python examples/classifier.py                     digits, no download
python examples/classifier.py fashion-mnist 5     another data set, 5 epochs each time
"""

import sys
from pathlib import Path

import latentkit as lk

config = Path(__file__).with_name("reference_classifier.toml")
dataset = sys.argv[1] if len(sys.argv) > 1 else "digits"
epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 30

# Train with half of the labels first. Then load the saved weights and continue with all labels.
first = lk.transfer(mode="scratch", config=config, dataset=dataset, labels="50%", epochs=epochs)
saved = first.path / "model.safetensors"
second = lk.transfer(first, init_from=saved, embed=["pca", "tsne"], epochs=epochs, seed=1)

card = second.evaluation
print(f"accuracy before {card['before']['accuracy']['value']:.4f}")
print(f"accuracy after {card['after']['accuracy']['value']:.4f}")
gained = lk.compare(first.path, second.path)["differences"]["accuracy"][0]
print(f"gained {gained['value']:+.4f}, 95 % interval {gained['low']:+.4f} to {gained['high']:+.4f}")
for pair in card["confused"][:3]:
    images = "image" if pair["count"] == 1 else "images"
    print(f"{pair['true']} taken for {pair['given']}: {pair['count']} {images}")
print(f"confusions {second.figures['confusion-change']}")
print(f"features {second.figures['features-tsne']}")
print(f"report {second.path / 'report.html'}")
