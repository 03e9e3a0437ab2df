/**
 * Makes docs/gallery.md and its pictures: every command that the page shows is run, and what it prints stands below it.
 * `npm run gallery [-- --only films,classes]`. What it needs and does not find is trained first, and it says what that costs.
 * What commands print is kept in runs/gallery, so that single entries can be made anew.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeFileAtomic, writeNpy } from '../runtimes/node/dist/index.js';
import { openSampleSource } from '../trainer/dist/data/sample-source.js';
import { auc, roc } from '../trainer/dist/evaluation/two-sample.js';
import { lineChart } from '../trainer/dist/pictures/line-chart.js';
import { rocChart } from '../trainer/dist/pictures/roc-chart.js';

process.chdir(join(import.meta.dirname, '..'));
const { values: { only } } = parseArgs({ options: { only: { type: 'string' } } });
const [images, work] = ['docs/images/gallery', 'runs/gallery'];
const bundle = 'quickstart/bundle';
const test = (first, end) => `{name: mnist, split: test, range: [${first}, ${end}]}`;
const picture = (name) => join(images, name);

/** What commands need, and how it is made. */
const needed = {
  [bundle]: { command: 'demo digits --out quickstart', cost: '4 to 8 minutes on two cores' },
  'runs/robust/classifier.onnx': { command: 'train trainer/configs/digits-classifier-robust.yaml --out runs/robust', cost: '8 to 30 minutes' },
  'runs/translation/bundle': { command: 'train trainer/configs/digits-translation.yaml --out runs/translation', cost: 'about 5 minutes' },
};

const strange = {
  mirrored: (x, row, column) => x(row, 27 - column),
  rotated: (x, row, column) => x(27 - column, row),
  inverted: (x, row, column) => -x(row, column),
  // Each pixel from a place of its own in the image: the values of digits without their shape.
  shuffled: (x, row, column) => x((7 * row + 11 * column) % 28, (3 * row + 5 * column) % 28),
};

const entries = [
  {
    name: 'samples', title: 'Samples', text: 'Every digit comes from the prior alone, through the flow of the one estimator.', pictures: ['samples.png'],
    commands: [['sample', bundle, '--count', '60', '--seed', '7', '--columns', '15', '--zoom', '2', '-o', picture('samples.png')]],
  },
  {
    name: 'films', title: 'Two stages as a film', pictures: ['film.png'],
    text: 'From x₀ ~ q′ on the left: K bridging steps, at the white rule x_K, then κ refinement steps with the same update.',
    commands: [['sample', bundle, '--film', '--count', '4', '--seed', '7', '--frames', '14', '--zoom', '2', '-o', picture('film.png')]],
  },
  {
    name: 'interpolation', title: 'Interpolation', pictures: ['interpolation.png', 'interpolation.webp'],
    text: 'Spherical in the prior, the same noise for all points of a path. For each path the prior, x_K and the sample, one under the other; below, four paths in motion.',
    commands: [
      ['interpolate', bundle, '--pairs', '0:1,5:9', '--seed', '7', '--frames', '13', '--stages', '--zoom', '2', '-o', picture('interpolation.png')],
      ['interpolate', bundle, '--pairs', '0:1,2:3,4:5,6:7', '--seed', '7', '--frames', '20', '--zoom', '3', '-o', picture('interpolation.webp')],
    ],
  },
  {
    name: 'classes', title: 'Classes from an estimator that knows none', pictures: ['classes.png'], needs: ['runs/robust/classifier.onnx'],
    text: () => {
      const { iterations, evaluation } = JSON.parse(readFileSync('runs/robust/classifier.json', 'utf8'));
      return `Two of each class. The drift gets φ ∇ log p(y|x) of a robust classifier, trained for ${iterations} iterations, which is right on ${(100 * evaluation.accuracy).toFixed(1)} % of the test set. [What φ and robustness change](applications.md#classes).`;
    },
    commands: [['sample', bundle, '--guide', 'runs/robust/classifier.onnx', '--class', Array.from({ length: 20 }, (_, i) => i % 10).join(','), '--scale', '1', '--refine', '10', '--seed', '7', '--columns', '10', '--zoom', '2', '-o', picture('classes.png')]],
  },
  {
    name: 'translation', title: 'Unpaired translation', pictures: ['translation.png'], needs: ['runs/translation/bundle'],
    text: 'Ones of the test set, each with the seven that the flow makes of it. The judge is the classifier of the built-in extractor, which was trained apart.',
    commands: [['translate', 'runs/translation/bundle', '{name: mnist, split: test, classes: [1]}', '--limit', '500', '--judge', 'digits', '--zoom', '2', '--pairs', picture('translation.png'), '-o', `${work}/sevens.npy`]],
  },
  {
    name: 'ranking', title: 'Ranking and choosing by the ratio', pictures: ['ranking.png', 'kept.png'],
    text: 'The model\'s own samples by log q/p: on the left those that look most like data, on the right those that look least so. Below, the lowest quarter of what was drawn.',
    commands: [
      ['sample', bundle, '--count', '240', '--seed', '7', '-o', `${work}/samples.npy`],
      ['score', bundle, `${work}/samples.npy`, '--ranking', picture('ranking.png'), '--zoom', '2'],
      ['sample', bundle, '--count', '30', '--keep', '0.25', '--seed', '7', '--columns', '15', '--zoom', '2', '-o', picture('kept.png')],
    ],
  },
  {
    name: 'detection', title: 'What is no digit', pictures: ['detection.png'],
    text: 'Test digits that were mirrored, rotated by a quarter turn, inverted, or whose pixels changed places, told from test digits by log q/p alone. Where the curve falls below the diagonal the ratio takes the strange for *more* like data than data are: '
      + 'it compares two densities, and says nothing where neither has been ([what the number means](applications.md#the-ratio-as-a-tool)).',
    async before() {
      const digits = await openSampleSource(['mnist:test'], [1, 28, 28]);
      const { data } = await digits.read(1000, 1000);
      for (const [name, at] of Object.entries(strange)) await writeNpy(`${work}/${name}.npy`, { shape: [1000, 1, 28, 28], data: data.map((_, i) => at((row, column) => data[i - (i % 784) + 28 * row + column], Math.floor((i % 784) / 28), i % 28)) });
    },
    commands: Object.keys(strange).map((name) => ['score', bundle, `${work}/${name}.npy`, '--against', test(0, 1000), '-o', `${work}/${name}.json`]).concat([['score', bundle, test(0, 1000), '-o', `${work}/digits.json`]]),
    shown: /images|told from data/,
    async after() {
      const scores = (name) => JSON.parse(readFileSync(`${work}/${name}.json`, 'utf8')).scores.map(({ logRatio }) => logRatio);
      const curves = Object.keys(strange).map((name) => {
        const curve = roc(scores(name), scores('digits'));
        return { name, ...curve, auc: auc(curve) };
      });
      writeFileSync(picture('detection.png'), (await rocChart({ curves, title: 'Told from test digits by log q/p', scale: 1.25 })).png);
    },
  },
  {
    name: 'calibration', title: 'How far the ratio may be believed', pictures: ['calibration.png'],
    text: 'For an exact ratio the mean of q/p on data, and of p/q on samples, is 1, and the share of samples among images of one score is what the score predicts: the points would lie on the grey line. '
      + 'Samples include refinement and the moving average of the weights, which training never saw, and the data are those of the test set.',
    commands: [['score', bundle, test(0, 1000), '--calibrate', '-o', `${work}/calibration.json`]],
    shown: /mean|test|error/,
    async after() {
      const { bins } = JSON.parse(readFileSync(`${work}/calibration.json`, 'utf8')).calibration;
      const { png } = await lineChart({
        title: 'Share of samples by score', xLabel: 'predicted: σ(log q/p)', window: 1, scale: 1.25,
        panels: [{ label: 'found', series: [{ name: 'found', x: bins.map(({ predicted }) => predicted), y: bins.map(({ observed }) => observed) }, { name: 'exact ratio', colour: '#9aa0a6', x: [0, 1], y: [0, 1] }] }],
      });
      writeFileSync(picture('calibration.png'), png);
    },
  },
  {
    name: 'neighbours', title: 'Nearest neighbours', pictures: ['neighbours.png', 'neighbours-features.png'],
    text: 'Samples on the left, behind the rule the training images nearest to them: in pixels, then in the features of the built-in extractor. A model that had memorised would show the sample itself.',
    commands: [
      ['neighbours', bundle, '--data', 'mnist', '--count', '4', '--seed', '7', '-k', '12', '--zoom', '2', '-o', picture('neighbours.png')],
      ['neighbours', bundle, '--data', 'mnist', '--count', '4', '--seed', '7', '-k', '12', '--zoom', '2', '--extractor', 'digits', '-o', picture('neighbours-features.png')],
    ],
  },
  {
    name: 'refinement', title: 'The effect of refinement', pictures: ['refinement.png'],
    text: 'The same samples after more and more refinement steps, against the test set. The distance falls steeply first, and levels off in the end; what is gained there in variety is paid for in precision, '
      + 'which is why the bundle stops early. With 1,000 samples distances are biased upwards: compare them with each other only.',
    commands: [['evaluate', bundle, '--reference', 'mnist:test', '--extractor', 'digits', '--count', '1000', '--refine-curve', '0,5,10,20,40,80,160', '--plot', picture('refinement.png'), '-o', `${work}/refinement.json`]],
  },
];

const wanted = only?.split(',') ?? entries.map(({ name }) => name);
const unknown = wanted.find((name) => !entries.some((entry) => entry.name === name));
if (unknown !== undefined) {
  console.error(`There is no entry ${JSON.stringify(unknown)}; there are ${entries.map(({ name }) => name).join(', ')}.`);
  process.exit(1);
}
for (const folder of [images, work]) mkdirSync(folder, { recursive: true });

/** Runs `ratioflow`; what it prints. */
async function ratioflow(args) {
  const child = spawn(process.execPath, ['runtimes/cli/dist/main.js', ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let out = '';
  for await (const part of child.stdout.setEncoding('utf8')) out += part;
  const code = child.exitCode ?? await new Promise((resolve) => child.once('exit', resolve));
  if (code !== 0) throw new Error(`ratioflow ${args.join(' ')} ended with ${code}.`);
  return out;
}

const shell = (arg) => (/^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg}'`);
const lineOf = (args) => `npx ratioflow ${args.map(shell).join(' ')}`;
/** How long something took, which is another machine's business. */
const timing = /^\d+ steps, /;
const record = (name) => join(work, `${name}.output.json`);

for (const entry of entries.filter(({ name }) => wanted.includes(name))) {
  for (const path of [bundle, ...entry.needs ?? []]) {
    if (existsSync(path)) continue;
    const { command, cost } = needed[path];
    console.log(`${path} is not there. It is trained now, ${cost}: npx ratioflow ${command}`);
    await ratioflow(command.split(' '));
  }
  await entry.before?.();
  const outputs = [];
  for (const args of entry.commands) {
    console.log(lineOf(args));
    outputs.push(await ratioflow(args));
  }
  await entry.after?.();
  const text = typeof entry.text === 'function' ? entry.text() : entry.text;
  const lines = outputs.join('').trimEnd().split('\n').filter((line) => entry.shown?.test(line) ?? !timing.test(line));
  writeFileSync(record(entry.name), JSON.stringify({ text, lines }));
}

const made = entries.filter(({ name }) => existsSync(record(name)));
const sections = made.map(({ name, title, commands, pictures }) => {
  const { text, lines } = JSON.parse(readFileSync(record(name), 'utf8'));
  const shown = pictures.map((file) => `![${title}](images/gallery/${file})`).join('\n\n');
  return `## ${title}\n\n${text}\n\n\`\`\`sh\n${commands.map(lineOf).join('\n')}\n\`\`\`\n\n${shown}\n\n\`\`\`text\n${lines.join('\n')}\n\`\`\`\n`;
});
const head = `# Gallery

What a trained bundle is used for, on handwritten digits: each use, its command, its picture, what it prints. \`npm run gallery\` made all of
it and wrote this page. It takes the quick start's bundle, and trains what else it lacks:

${Object.entries(needed).slice(1).map(([path, { command, cost }]) => `- \`${dirname(path)}\`: \`npx ratioflow ${command}\`, ${cost};`).join('\n')}
- the [extractor](evaluation.md#extractors): a few minutes.

\`npm run gallery -- --only films,classes\` makes single entries anew.
[Applications](applications.md) explains the commands.
`;
await writeFileAtomic('docs/gallery.md', [head, ...sections].join('\n'));
const missing = entries.filter((entry) => !made.includes(entry)).map(({ name }) => name);
console.log(`docs/gallery.md is written${missing.length > 0 ? `, without ${missing.join(', ')}: npm run gallery -- --only ${missing.join(',')}` : ''}.`);
