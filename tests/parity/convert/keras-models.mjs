/**
 * Converts the models that keras_models.py has written and compares them with what TensorFlow answered:
 * `node tests/parity/convert/keras-models.mjs 'Keras 2=folder' 'Keras 3=folder' [--write]`; with --write the table goes into docs/conversion.md.
 */
import { existsSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import * as ort from 'onnxruntime-node';
import { convertGraphModel, gradient, readTfjsModel, writeModel } from '../../../export/dist/index.js';
import { readNpy, writeFileAtomic } from '../../../runtimes/node/dist/index.js';

const { values, positionals } = parseArgs({ allowPositionals: true, options: { write: { type: 'boolean', default: false } } });
const kinds = positionals.map((text) => text.split('='));
const results = new Map();
for (const [kind, folder] of kinds) {
  for (const name of readdirSync(folder).filter((one) => existsSync(join(folder, one, 'y0.npy'))).sort((a, b) => a.localeCompare(b))) {
    const found = await compare(join(folder, name)).catch((error) => error.message);
    console.log(`${kind} ${name}: ${found}`);
    results.set(name, { ...results.get(name), [kind]: found });
  }
}
const table = [
  `| | ${kinds.map(([kind]) => kind).join(' | ')} |`,
  `|---|${kinds.map(() => '---|').join('')}`,
  ...[...results].map(([name, found]) => `| ${name.replaceAll('_', ' ')} | ${kinds.map(([kind]) => found[kind] ?? '–').join(' | ')} |`),
].join('\n');
if (values.write) {
  const page = join(import.meta.dirname, '../../../docs/conversion.md');
  const [begin, end] = ['<!-- Keras -->\n', '<!-- end of Keras -->'];
  const text = await readFile(page, 'utf8');
  await writeFileAtomic(page, `${text.split(begin)[0]}${begin}${table}\n${end}${text.split(end)[1]}`);
} else console.log(table);

/** The largest difference relative to the largest number, of any output and of the gradient with respect to the input; how many transposes are left. */
async function compare(folder) {
  const { artifacts } = await readTfjsModel(folder);
  const model = convertGraphModel(artifacts);
  const read = async (name) => channelsFirst(await readNpy(join(folder, `${name}.npy`)));
  const x = await read('x');
  const [input] = model.graph.inputs;
  const outputs = await run(model, { [input.name]: x });
  // The signature's names of several outputs do not tell their order: each is looked for by its shape.
  let worst = 0;
  const names = [];
  for (let index = 0; existsSync(join(folder, `y${index}.npy`)); index++) {
    const expected = await read(`y${index}`);
    const alike = Object.entries(outputs).filter(([, { dims }]) => dims.join() === expected.shape.join());
    if (alike.length !== 1) throw new Error(`${alike.length} outputs of shape [${expected.shape.join(', ')}]`);
    names.push(alike[0][0]);
    worst = Math.max(worst, relativeDifference(alike[0][1].data, expected.data));
  }
  const transposes = model.graph.nodes.filter(({ opType }) => opType === 'Transpose').length;
  const more = transposes > 0 ? `, ${transposes} Transpose` : '';
  if (!existsSync(join(folder, 'gradient.npy'))) return `${worst.toExponential(0)}${more}`;
  const [of] = names;
  const results = await run(gradient(model, { of, wrt: input.name, seed: true }), { [input.name]: x, [`seed_${of}`]: await read('seed') });
  return `${worst.toExponential(0)}, ${relativeDifference(results[`grad_${input.name}`].data, (await read('gradient')).data).toExponential(0)}${more}`;
}

async function run(model, feeds) {
  const session = await ort.InferenceSession.create(writeModel(model), { logSeverityLevel: 3 });
  const tensors = Object.entries(feeds).map(([name, { data, shape }]) => [name, new ort.Tensor(data instanceof Int32Array ? 'int32' : 'float32', data, shape)]);
  const results = await session.run(Object.fromEntries(tensors));
  await session.release();
  return results;
}

function relativeDifference(found, expected) {
  let [difference, largest] = [0, 0];
  expected.forEach((value, index) => {
    difference = Math.max(difference, Math.abs(found[index] - value));
    largest = Math.max(largest, Math.abs(value));
  });
  return difference / largest;
}

/** Images of TensorFlow's layout as the converted model takes and gives them. */
function channelsFirst({ shape, data }) {
  if (shape.length < 4) return { shape, data };
  const [count, channels] = [shape[0], shape.at(-1)];
  const places = data.length / count / channels;
  const moved = new data.constructor(data.length);
  for (let n = 0; n < count; n++) {
    for (let place = 0; place < places; place++) {
      for (let c = 0; c < channels; c++) moved[(n * channels + c) * places + place] = data[(n * places + place) * channels + c];
    }
  }
  return { shape: [count, channels, ...shape.slice(1, -1)], data: moved };
}
