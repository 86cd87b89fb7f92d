"""Train an autoencoder on digits, map its latents, and classify them.

python examples/quickstart.py            no download
python examples/quickstart.py 5          with 5 epochs
"""

import sys

from sklearn.neighbors import KNeighborsClassifier

import latentkit as lk

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else None
run = lk.run(model="conv-ae", embed=["isomap"], epochs=epochs, options={"model.latent_dim": 8})

card = run.evaluation
print(f"test MSE {card['reconstruction']['mse']['value']:.4f}")
print(f"PCA {card['baselines']['pca']['mse']['value']:.4f}")
print(f"trustworthiness of the map {card['maps']['isomap']['trustworthiness']['value']:.3f}")

classifier = KNeighborsClassifier(10).fit(run.latents("train"), run.labels("train"))
accuracy = classifier.score(run.latents("test"), run.labels("test"))
print(f"10-NN accuracy of the latents {accuracy:.3f}")

print(f"map {run.figures['map-isomap']}")
print(f"report {run.path / 'report.html'}")
