/** `compose`: a bundle whose flow is made of several bundles' and a classifier's. */
import { ArgumentError, type BundleSource, type Manifest, type Runtime } from '@ratioflow/sdk';
import { assembleBundle, type ProductOptions } from '../bundle/assemble-bundle.js';
import type { Model } from '../ir/types.js';
import { wasmField } from '../products/wasm-field.js';
import { winogradField } from '../products/winograd-field.js';
import { checkClassifier } from './check-classifier.js';
import { prepareClassifier, type ClassifierOptions } from './classifier.js';
import { composedField } from './composed-field.js';
import { readPart, type Part } from './read-part.js';

/** Options of {@link compose}. */
export interface ComposeOptions {
  /** The bundles, all of one sample shape, value range and pairing. The first gives prior, η, ν, K and κ. */
  readonly bundles: readonly BundleSource[];
  /** Weights of the bundles' drifts, an input of the graphs; these are its values where nobody gives others. @default 1 each */
  readonly weights?: readonly number[];
  /** The classifier whose ∇ log p(y|x) is added. It is changed and must not be used afterwards. */
  readonly guide?: { readonly model: Model } & ClassifierOptions;
  /** φ where nobody gives another. @default 0.1 */
  readonly scale?: number;
  /** Names of the classifier's classes. @default those in its metadata, else the first bundle's, if it has as many */
  readonly classNames?: readonly string[];
  /** Refinement steps κ. @default the first bundle's */
  readonly kappa?: number;
  /** @default the bundles' names, joined */
  readonly name?: string;
  readonly products?: Omit<ProductOptions, 'float16'>;
  /** Computes the expected outputs of the verification vectors; a CPU engine with graph optimisation off. */
  readonly reference: Runtime;
}

/** The files of the bundle, and what was changed on the way to it. */
export interface ComposedBundle {
  /** File name → content, for `writeBundle`. */
  readonly files: Map<string, Uint8Array>;
  /** Sentences for people. */
  readonly notes: readonly string[];
  /** Number of the classifier's classes; 0 without one. */
  readonly classes: number;
}

/** φ of the paper's experiments. */
const customaryScale = 0.1;

/**
 * Makes a bundle of drift Σ wₑ driftₑ(x) + φ ∇ log p(y|x). Its graphs have the inputs `weights`, `y` and `phi` besides
 * (docs/bundle.md); logRatio is Σ wₑ logRatioₑ(x), guidance not included.
 * @throws {ArgumentError} for bundles that do not fit together; {GraphError | UnsupportedError} for a classifier that does
 *   not fit or cannot be differentiated; {BundleError} for a damaged bundle
 */
export async function compose(options: ComposeOptions): Promise<ComposedBundle> {
  const { bundles, weights, guide, scale = customaryScale, reference, products = {} } = options;
  const parts: Part[] = [];
  for (const source of bundles) parts.push(await readPart(source));
  const [first] = parts;
  if (!first) throw new ArgumentError('There is nothing to compose: give at least one bundle.');
  parts.forEach(({ manifest }, i) => { checkFits(first.manifest, manifest, bundles[i]!.location); });
  if (weights && (weights.length !== parts.length || !weights.every(Number.isFinite))) throw new ArgumentError(`weights is ${weights.join(', ')}; allowed: ${parts.length} finite numbers, one for each bundle.`);
  if (!guide && parts.length === 1 && !weights) throw new ArgumentError('A single bundle is no composition: give a classifier (guide), more bundles, or a weight.');
  if (!guide && options.scale !== undefined) throw new ArgumentError('scale is that of the guidance, and there is no classifier: give one (guide), or leave the scale out.');
  if (!Number.isFinite(scale)) throw new ArgumentError(`scale is ${scale}; allowed: a finite number.`);
  const { manifest } = first;
  const classifier = guide && prepareClassifier(guide.model, manifest, guide);
  if (classifier) await checkClassifier(classifier, manifest, reference);
  const mixture = weights ?? (parts.length > 1 ? parts.map(() => 1) : undefined);
  const field = composedField({ sampleShape: manifest.sampleShape, parts: parts.map(({ gradient }) => gradient), weighted: mixture !== undefined, classifier });
  const files = await assembleBundle({
    field,
    lowered: { cpu: winogradField(field), wasm: wasmField(field) },
    prior: first.prior,
    about: {
      name: options.name ?? parts.map((part) => part.manifest.name).join(' + ').slice(0, 200),
      valueRange: manifest.valueRange, pairing: manifest.pairing, eta: manifest.eta, nu: manifest.nu, K: manifest.K, kappa: options.kappa ?? manifest.kappa,
      classNames: classNamesOf(options.classNames ?? classifier?.classNames, manifest, classifier?.classes), training: parts.length === 1 ? manifest.training : null,
      ...(classifier && { guidance: { classes: classifier.classes, scale } }), ...(mixture && { mixture }),
    },
    products,
    allowDepartures: classifier !== undefined || parts.some((part) => part.manifest.departures !== undefined),
    reference,
  });
  return { files, notes: classifier?.notes ?? [], classes: classifier?.classes ?? 0 };
}

function checkFits(first: Manifest, other: Manifest, location: string): void {
  for (const field of ['sampleShape', 'valueRange', 'pairing'] as const) {
    const [wanted, found] = [JSON.stringify(first[field]), JSON.stringify(other[field])];
    if (wanted !== found) throw new ArgumentError(`${location} has ${field} ${found}, the first bundle ${wanted}: only bundles that agree can be composed.`);
  }
}

function classNamesOf(given: readonly string[] | undefined, { classNames }: Manifest, classes: number | undefined): readonly string[] | null {
  if (given && given.length !== classes) throw new ArgumentError(`There are ${given.length} class names for ${classes ?? 'no'} classes.`);
  return given ?? (classes === undefined || classNames?.length === classes ? classNames : null);
}
