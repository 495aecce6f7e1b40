import type { LoadedImage } from "./elf-image.js";
import {
  type BootOptions,
  type BootTarget,
  checkFits,
  encodeCmdline,
  type GuestStart,
  pageUp,
  placeModules,
  writeModules,
  writeSegments,
} from "./guest-start.js";
import { MEMMAP_RAM, MEMMAP_RESERVED, type MemoryMapEntry, pvhMemoryMap } from "./memory-map.js";

/** What eax holds at the entry point. */
const LOADER_MAGIC = 0x2badb002;
const INFO_BYTES = 88;
const MODULE_BYTES = 16;
/** One memory-map entry: its own size (20), address, length, type. */
const MAP_ENTRY_BYTES = 24;
const LOADER_NAME = "hyperwalk";
// Bits of the info structure's flags.
const HAS_MEMORY = 1 << 0;
const HAS_CMDLINE = 1 << 2;
const HAS_MODULES = 1 << 3;
const HAS_MEMORY_MAP = 1 << 6;
const HAS_LOADER_NAME = 1 << 9;
/** Where conventional memory ends, and extended memory begins. */
const CONVENTIONAL_END = 0xa0000;
const EXTENDED_START = 0x100000;
/** Where the info structure goes unless the image is there: low memory, as boot loaders have it. */
const LOW_INFO = 0x10000;

/**
 * Puts a multiboot image into a fresh domain: its segments, the modules on pages after them, and the info structure
 * (ebx) with command line, modules and memory map below 640 KiB, or after the modules when the image is there.
 * @throws ImageError `does-not-fit` when RAM below 4 GiB does not hold all of it
 */
export function buildMultibootDomain(
  domain: BootTarget,
  image: LoadedImage,
  options: BootOptions = {},
): GuestStart {
  const { modules = [] } = options;
  const map = multibootMap(domain.config.memoryBytes);
  const ram = pvhMemoryMap(domain.config.memoryBytes)[0].size;
  checkFits("end of the image", image.end, ram);
  const places = placeModules(modules, image.end);
  const modulesEnd = places[modules.length];
  if (modules.length > 0) checkFits("end of the modules", modulesEnd, ram);

  const texts = [options.cmdline ?? "", ...modules.map((module) => module.cmdline ?? ""), LOADER_NAME].map(
    encodeCmdline,
  );
  const mapAt = INFO_BYTES;
  const modulesAt = mapAt + map.length * MAP_ENTRY_BYTES;
  const textOffsets = [modulesAt + modules.length * MODULE_BYTES];
  for (const text of texts) textOffsets.push(textOffsets[textOffsets.length - 1] + text.length + 1);
  const bytes = new Uint8Array(textOffsets[texts.length]);
  const at = infoPlace(bytes.length, image, modulesEnd, ram);
  const view = new DataView(bytes.buffer);
  const words: readonly (readonly [number, number])[] = [
    [0, HAS_MEMORY | HAS_CMDLINE | HAS_MODULES | HAS_MEMORY_MAP | HAS_LOADER_NAME],
    [4, Math.min(ram, CONVENTIONAL_END) / 1024],
    [8, Math.max(0, ram - EXTENDED_START) / 1024],
    [16, at + textOffsets[0]],
    [20, modules.length],
    [24, at + modulesAt],
    [44, map.length * MAP_ENTRY_BYTES],
    [48, at + mapAt],
    [64, at + textOffsets[texts.length - 1]],
  ];
  for (const [offset, value] of words) view.setUint32(offset, value, true);
  writeMap(view, mapAt, map);
  modules.forEach((module, i) => {
    view.setUint32(modulesAt + i * MODULE_BYTES, places[i], true);
    view.setUint32(modulesAt + i * MODULE_BYTES + 4, places[i] + module.bytes.length, true);
    view.setUint32(modulesAt + i * MODULE_BYTES + 8, at + textOffsets[i + 1], true);
  });
  for (let i = 0; i < texts.length; i++) bytes.set(texts[i], textOffsets[i]);

  writeSegments(domain, image);
  writeModules(domain, modules, places);
  domain.guestMemory.writeBytes(at, bytes);
  return { entry: image.entry, eax: LOADER_MAGIC, ebx: at };
}

function infoPlace(bytes: number, image: LoadedImage, modulesEnd: number, ram: number): number {
  const lowIsFree = image.segments.every(
    (s) => s.address >= LOW_INFO + bytes || s.address + s.memoryBytes <= LOW_INFO,
  );
  if (lowIsFree && LOW_INFO + bytes <= Math.min(ram, CONVENTIONAL_END)) return LOW_INFO;
  const at = pageUp(Math.max(image.end, modulesEnd));
  checkFits("end of the multiboot information", at + bytes, ram);
  return at;
}

/** The domain's map with the hole that programs expect between conventional and extended memory. */
function multibootMap(memoryBytes: number): readonly MemoryMapEntry[] {
  return pvhMemoryMap(memoryBytes).flatMap((entry) => {
    if (entry.address !== 0 || entry.size <= EXTENDED_START) return [entry];
    return [
      { address: 0, size: CONVENTIONAL_END, type: MEMMAP_RAM },
      { address: CONVENTIONAL_END, size: EXTENDED_START - CONVENTIONAL_END, type: MEMMAP_RESERVED },
      { address: EXTENDED_START, size: entry.size - EXTENDED_START, type: MEMMAP_RAM },
    ];
  });
}

function writeMap(view: DataView, at: number, map: readonly MemoryMapEntry[]): void {
  map.forEach((entry, i) => {
    const offset = at + i * MAP_ENTRY_BYTES;
    view.setUint32(offset, MAP_ENTRY_BYTES - 4, true);
    view.setUint32(offset + 4, entry.address >>> 0, true);
    view.setUint32(offset + 8, Math.floor(entry.address / 2 ** 32), true);
    view.setUint32(offset + 12, entry.size >>> 0, true);
    view.setUint32(offset + 16, Math.floor(entry.size / 2 ** 32), true);
    view.setUint32(offset + 20, entry.type, true);
  });
}
