/** A Vulkan device for WebGPU in Node where there is no other. */
import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const swiftShader = '/usr/lib/chromium/vk_swiftshader_icd.json';

/** WebGPU needs a Vulkan device; Chromium's software one and its loader will do. Counts in processes started from here. */
export function offerSwiftShader(): void {
  if (!existsSync(swiftShader)) return;
  process.env['VK_ICD_FILENAMES'] ??= swiftShader;
  process.env['LD_LIBRARY_PATH'] ??= dirname(swiftShader);
  process.env['XDG_RUNTIME_DIR'] ??= mkdtempSync(join(tmpdir(), 'ratioflow-xdg-'));
}
