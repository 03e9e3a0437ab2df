/** What only Python can tell: ONNX's own checker over the graphs that we emit, its operator suite, PyTorch's autograd. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { pairingOf } from '@ratioflow/sdk';
import { estimatorOf, gradient, gradientGraph, GraphBuilder, newModel, ratioGraph, readModel, samplerGraph, stepGraph, writeModel, type Model } from '@ratioflow/export';
import { describe, expect, it } from 'vitest';
import { cases, singleCases } from './cases.js';
import { modelOf } from './support.js';

const pythonWith = (modules: string): string | undefined =>
  [process.env['RATIOFLOW_PYTHON'], 'python3'].find((command) => command !== undefined && spawnSync(command, ['-c', `import ${modules}`]).status === 0);
const withOnnx = pythonWith('onnx, onnxruntime, numpy');
const withTorch = pythonWith('torch, onnx, onnxscript, onnxruntime');
if (!withOnnx) console.log('skip: no Python with onnx and onnxruntime (set RATIOFLOW_PYTHON): gradients are not checked by the onnx package');
if (!withTorch) console.log('skip: no Python with torch, onnx, onnxscript and onnxruntime (set RATIOFLOW_PYTHON): gradients are not compared with PyTorch');

interface Job { readonly model: string; readonly out: string; readonly of?: string; readonly wrt?: string; readonly seed?: boolean }

/** Differentiates a script's jobs with the sources under test. */
function differentiate(folder: string): void {
  const jobs = JSON.parse(readFileSync(join(folder, 'jobs.json'), 'utf8')) as Job[];
  const results = jobs.map(({ model, out, ...options }) => {
    try {
      writeFileSync(out, writeModel(gradient(readModel(readFileSync(model)), options)));
      return { ok: true };
    } catch (error) {
      return { ok: false, kind: (error as Error).name, error: (error as Error).message };
    }
  });
  writeFileSync(join(folder, 'results.json'), JSON.stringify(results));
}

/** Runs a script of this folder, and answers its request for gradients. */
async function runScript(python: string, script: string, options: readonly string[]): Promise<{ status: number | null; lines: string[] }> {
  const child = spawn(python, [fileURLToPath(new URL(script, import.meta.url)), ...options], { env: { ...process.env, RATIOFLOW_DIFFERENTIATE: 'caller' }, stdio: ['pipe', 'pipe', 'ignore'] });
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve));
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    if (!line.startsWith('jobs ')) continue;
    differentiate(line.slice(5));
    child.stdin.write('\n');
  }
  return { status: await closed, lines };
}

function products(): Record<string, Model> {
  const builder = new GraphBuilder('estimator');
  const x = builder.input('x', 'float32', ['N', 2]);
  builder.output('n', builder.op('ReduceSum', [builder.op('LeakyRelu', [builder.op('Mul', [x, x])], { alpha: 0.2 }), builder.ints([1])], { keepdims: 0 }));
  const estimator = estimatorOf(newModel(builder.graph));
  const pairing = pairingOf('lr-js');
  return { ratio: ratioGraph(estimator, pairing), gradient: gradientGraph(estimator, pairing), step: stepGraph(estimator, pairing), sampler: samplerGraph(estimator, pairing) };
}

describe('the onnx package', () => {
  it.skipIf(!withOnnx)('finds no fault in any graph that we emit', () => {
    const folder = mkdtempSync(join(tmpdir(), 'ratioflow-checker-'));
    try {
      const graphs: [string, Model][] = Object.entries(products());
      for (const [name, network] of [...cases, ...singleCases]) {
        for (const opset of [16, 18, 20]) {
          // Operators and forms that a version lacks are the test network's own business.
          if ((opset < 18 && /Reduce|LayerNorm|normalisation|Col2Im|CenterCropPad|_larger|_smaller/.test(name)) || (opset !== 18 && name.startsWith('DFT'))) continue;
          graphs.push([`${name} at opset ${opset}`, gradient(modelOf(network, opset), { wrt: network.inputs.map((_, index) => `x${index}`), seed: true })]);
        }
      }
      graphs.forEach(([, model], index) => { writeFileSync(join(folder, `${index}.onnx`), writeModel(model)); });
      const check = 'import onnx, sys\nfor i in range(int(sys.argv[2])):\n    try:\n        onnx.checker.check_model(onnx.load(f"{sys.argv[1]}/{i}.onnx"), full_check=True)\n    except Exception as e:\n        print(i, str(e).replace("\\n", " ")[:300])';
      const run = spawnSync(withOnnx!, ['-c', check, folder, String(graphs.length)]);
      expect(run.stderr.toString()).toBe('');
      expect(run.stdout.toString().split('\n').filter((line) => line).map((line) => `${graphs[Number(line.split(' ')[0])]![0]}: ${line}`)).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it.skipIf(!withOnnx)('agrees with the gradients of its operator cases', { timeout: 300_000 }, async () => {
    const { status, lines } = await runScript(withOnnx!, 'onnx_node_suite.py', ['--only', '^test_(resize_.*sizes|resize_upsample|(max|average|lp)pool_[12]d|layer_normalization_[34]d|instance|lrn|hardswish|gelu_tanh|celu|reflect|scatter_elements|slice|cumsum_2d|reduce_prod|reduce_max_.*random|attention_23_fullymasked|linear_attention_(gated_delta|decode)|causal_conv|tensorscatter|dequantizelinear|affine_grid_2d|training_dropout|batchnorm_.*training|round|hardmax)']);
    expect(lines.filter((line) => /^(wrong|failed|gradient does not run)/.test(line))).toEqual([]);
    expect(status).toBe(0);
    expect((JSON.parse(lines.at(-1)!) as { pass: number }).pass).toBeGreaterThan(100);
  });

  it.skipIf(!withOnnx)('differentiates every output that an operator has', { timeout: 300_000 }, async () => {
    const { status, lines } = await runScript(withOnnx!, 'onnx_node_suite.py', ['--only', '^test_(layer_normalization_4d_axis|attention_4d_with_qk_matmul|attention_3d_with_past_and_present_qk_matmul_bias|sce_mean_log_prob|lstm_defaults|gru_seq|batchnorm_.*training)']);
    expect(status).toBe(0);
    const counts = JSON.parse(lines.at(-1)!) as { pass: number };
    expect(Object.keys(counts)).toEqual(['onnx', 'pass']);
    expect(counts.pass).toBeGreaterThan(300);
  });
});

describe('PyTorch', () => {
  it.skipIf(!withTorch)('agrees with the gradients of networks from both of its exporters', { timeout: 600_000 }, async () => {
    const { status, lines } = await runScript(withTorch!, 'torch_models.py', ['--only', '^(windows|u-net|vision|squeeze|residual relu|attention|activation GELU|pool max 3|conv transposed output|resize bilinear)']);
    expect(lines.filter((line) => /^(wrong|failed|does not run|refused)/.test(line))).toEqual([]);
    expect(status).toBe(0);
    expect((JSON.parse(lines.at(-1)!) as { pass: number }).pass).toBeGreaterThan(10);
  });

  it.skipIf(!withTorch)('agrees with the gradients of blocks as people write them, and of random stacks', { timeout: 600_000 }, async () => {
    const { status, lines } = await runScript(withTorch!, 'torch_models.py', ['--stacks', '3', '--only', '^(stack|rotary|linear attention|patches|bicubic|grouped 3-D|LSTM both|standardised|fold)']);
    expect(lines.filter((line) => /^(wrong|failed|does not run|refused)/.test(line))).toEqual([]);
    expect(status).toBe(0);
    expect((JSON.parse(lines.at(-1)!) as { pass: number }).pass).toBeGreaterThan(18);
  });

  it.skipIf(!withTorch)('agrees in float64 with networks whose constants the exporters store in single precision', { timeout: 600_000 }, async () => {
    const { status, lines } = await runScript(withTorch!, 'torch_models.py', ['--double', '--only', '^(mlp|activation (GELU$|Hardswish)|squeeze|residual leaky|layer scale|rotary|pools 1-D|conv grouped)']);
    expect(lines.filter((line) => /^(wrong|failed|does not run|refused|export)/.test(line))).toEqual([]);
    expect(status).toBe(0);
    expect(JSON.parse(lines.at(-1)!)).toMatchObject({ pass: 18 });
  });

  it.skipIf(!withTorch)('agrees where extents of images are symbolic', { timeout: 600_000 }, async () => {
    const { status, lines } = await runScript(withTorch!, 'torch_models.py', ['--exporter', 'script', '--free', '--stacks', '6', '--only', '^(stack|u-net|pad (reflect|replicate)|pool (average|max)|conv same|scale|adaptive average)']);
    expect(lines.filter((line) => /^(wrong|failed|does not run|refused)/.test(line))).toEqual([]);
    expect(status).toBe(0);
    expect((JSON.parse(lines.at(-1)!) as { pass: number }).pass).toBeGreaterThan(15);
  });

  it.skipIf(!withTorch)('agrees with the gradients of networks of older opsets', { timeout: 600_000 }, async () => {
    const { status, lines } = await runScript(withTorch!, 'torch_models.py', ['--exporter', 'script', '--opsets', '9,11,12', '--only', '^(windows|u-net|squeeze|clamp|softmax|pad circular)']);
    expect(lines.filter((line) => /^(wrong|failed|does not run|refused)/.test(line))).toEqual([]);
    expect(status).toBe(0);
    expect(JSON.parse(lines.at(-1)!)).toMatchObject({ pass: 21 });
  });

  it.skipIf(!withTorch)('agrees with the gradients of networks of every opset from 13 on', { timeout: 600_000 }, async () => {
    const { status, lines } = await runScript(withTorch!, 'torch_models.py', ['--exporter', 'script', '--opsets', '13,14,15,16,17,19,20', '--only', '^(windows|u-net|squeeze|vision)']);
    expect(lines.filter((line) => /^(wrong|failed|does not run|refused)/.test(line))).toEqual([]);
    expect(status).toBe(0);
    // PyTorch itself has no attention at opset 13.
    expect(JSON.parse(lines.at(-1)!)).toMatchObject({ pass: 27, 'not exported': 1 });
  });

  it.skipIf(!withTorch)('agrees with the gradients of blocks of the oldest opset, and of the newest that dynamo writes', { timeout: 600_000 }, async () => {
    for (const [options, pass] of [[['--exporter', 'script', '--opsets', '13'], 6], [['--exporter', 'dynamo', '--opsets', '21,23'], 12]] as const) {
      const { status, lines } = await runScript(withTorch!, 'torch_models.py', [...options, '--only', '^(diagonal|scattered|sorted|adaptive maximum|GRU|generalised)']);
      expect(lines.filter((line) => /^(wrong|failed|does not run|refused)/.test(line))).toEqual([]);
      expect(status).toBe(0);
      expect(JSON.parse(lines.at(-1)!)).toMatchObject({ pass });
    }
  });

  it.skipIf(!withTorch)('agrees in float64, float32 and float16 with gradients of whole networks', { timeout: 600_000 }, async () => {
    const { status, lines } = await runScript(withTorch!, 'torch_networks.py', ['--only', 'mlp|small .*|U-Net', '--columns', 'float']);
    expect(lines.filter((line) => /^(wrong|failed|does not run|refused|export|not exported)/.test(line))).toEqual([]);
    expect(status).toBe(0);
    expect(JSON.parse(lines.at(-1)!)).toMatchObject({ pass: 18 });
  });
});
