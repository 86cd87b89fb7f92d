// New images: draws of the prior, or of the mixture that was fitted to training latents.

import { type App } from "../app";
import { type Space } from "../data/dataset";
import { type LiveDecoder } from "../data/decoding";
import { button, clear, h, sizedCanvas } from "../dom";
import { drawMixture, type MixtureArrays, normal, seeded } from "../geometry/latents";

const DRAWN = 12;
const SIDE = 44;

export class Samples {
  readonly element: HTMLElement;
  private readonly images = h("div", { class: "lk-thumbs" });
  private seed = 0;
  private readonly space: Space;

  constructor(private readonly app: App, private readonly live: LiveDecoder) {
    this.space = app.space;
    const { header, dim } = this.space;
    const row = h("div", { class: "lk-row lk-wrap" });
    if (header.prior) {
      row.append(button("Draw from the prior", () => this.draw("the prior", (random) => Float32Array.from({ length: dim }, () => normal(random)))));
    }
    const { mixture } = header;
    if (mixture) {
      row.append(button("Draw from the mixture", () => {
        app.later(Promise.all([app.data.container.f32(mixture.means), app.data.container.f32(mixture.cholesky)]).then(([means, cholesky]) => {
          const arrays: MixtureArrays = { weights: mixture.weights, means, cholesky };
          this.draw("the mixture", (random) => drawMixture(arrays, dim, random));
        }));
      }, { title: "A mixture of normal distributions, fitted to the training latents" }));
    }
    this.element = h("div", { class: "lk-tool-body" }, row, this.images);
  }

  static possible(app: App): boolean {
    return app.space.header.prior || app.space.header.mixture !== null;
  }

  private draw(source: string, sample: (random: () => number) => Float32Array): void {
    const random = seeded(++this.seed);
    const [, height, width] = this.live.decoder.shape;
    clear(this.images);
    for (let i = 0; i < DRAWN; i++) {
      const latent = sample(random);
      const canvas = sizedCanvas(width >= height ? SIDE : (SIDE * width) / height, width >= height ? (SIDE * height) / width : SIDE, "lk-image");
      this.live.draw(latent, canvas);
      const thumb = button("", () => this.app.setLatent(latent, this.space, `Sample of ${source}`), { className: "lk-thumb", label: `Sample ${i + 1} of ${source}` });
      thumb.append(canvas);
      this.images.append(thumb);
    }
    this.app.announce(`${DRAWN} samples of ${source}`);
  }
}
