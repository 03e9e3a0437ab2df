/** Events as TensorBoard reads them (tensorflow/core/util/event.proto and summary.proto, the fields that we use). */
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

/** What a run says at one moment. */
export interface RunEvent {
  /** Seconds since 1970. */
  readonly wallTime: number;
  /** Iterations done. */
  readonly step: number;
  /** By tag. */
  readonly scalars?: Readonly<Record<string, number>>;
  readonly picture?: { readonly tag: string; readonly png: Uint8Array };
}

/** Numbers of the fields. */
const event = { wallTime: 1, step: 2, fileVersion: 3, summary: 5, sessionLog: 7 } as const;
const value = { tag: 1, simpleValue: 2, image: 4 } as const;
const image = { height: 1, width: 2, colourSpace: 3, encoded: 4 } as const;

export function encodeEvent({ wallTime, step, scalars = {}, picture }: RunEvent): Uint8Array {
  const writer = start(wallTime, step).tag(event.summary, WireType.LengthDelimited).fork();
  for (const [tag, number] of Object.entries(scalars)) {
    writer.tag(1, WireType.LengthDelimited).fork().tag(value.tag, WireType.LengthDelimited).string(tag).tag(value.simpleValue, WireType.Bit32).float(number).join();
  }
  if (picture) {
    const { png } = picture;
    // The header chunk of a PNG lies at a fixed place.
    const header = new DataView(png.buffer, png.byteOffset, png.byteLength);
    writer.tag(1, WireType.LengthDelimited).fork().tag(value.tag, WireType.LengthDelimited).string(picture.tag).tag(value.image, WireType.LengthDelimited).fork()
      .tag(image.height, WireType.Varint).int32(header.getUint32(20)).tag(image.width, WireType.Varint).int32(header.getUint32(16))
      .tag(image.colourSpace, WireType.Varint).int32(3).tag(image.encoded, WireType.LengthDelimited).bytes(png).join().join();
  }
  return writer.join().finish();
}

/**
 * The two events that a file starts with: its version, and the start of a session at step 0, upon which TensorBoard forgets
 * what it has read of the run before.
 */
export function openingEvents(wallTime: number): Uint8Array[] {
  return [
    start(wallTime, 0).tag(event.fileVersion, WireType.LengthDelimited).string('brain.Event:2').finish(),
    start(wallTime, 0).tag(event.sessionLog, WireType.LengthDelimited).fork().tag(1, WireType.Varint).int32(1).join().finish(),
  ];
}

/** The step of an encoded event with a summary; null for others. */
export function stepOfSummary(bytes: Uint8Array): number | null {
  const reader = new BinaryReader(bytes);
  let [step, summary] = [0, false];
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === event.step) step = Number(reader.int64());
    else {
      if (field === event.summary) summary = true;
      reader.skip(type);
    }
  }
  return summary ? step : null;
}

/** The tags of an encoded event's summary, in their order. */
export function tagsOfSummary(bytes: Uint8Array): string[] {
  return fieldsOf(bytes, event.summary).flatMap((summary) => fieldsOf(summary, 1)).flatMap((entry) => fieldsOf(entry, value.tag)).map((tag) => new TextDecoder().decode(tag));
}

/** The contents of a field, of those that are delimited by their length. */
function fieldsOf(bytes: Uint8Array, wanted: number): Uint8Array[] {
  const reader = new BinaryReader(bytes);
  const found: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === wanted) found.push(reader.bytes());
    else reader.skip(type);
  }
  return found;
}

const start = (wallTime: number, step: number): BinaryWriter => new BinaryWriter().tag(event.wallTime, WireType.Bit64).double(wallTime).tag(event.step, WireType.Varint).int64(step);
