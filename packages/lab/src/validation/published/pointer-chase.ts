/** One published curve: cycles per load by pages chased. */
export interface PublishedCurve {
  readonly part: string;
  readonly source: string;
  readonly cycles: Readonly<Record<number, number>>;
}

const SOURCE = "InstLatx64 NewMemLat, Page_Random, stride 4 KiB";

/** By profile id: the measured part that is nearest to it, in its own cycles. Footprint in 4 KiB pages. */
export const PUBLISHED_CURVES: Readonly<Record<string, PublishedCurve>> = {
  "epyc-9124": {
    part: "Threadripper PRO 7995WX at 2.50 GHz",
    source: SOURCE,
    cycles: {
      8: 4,
      32: 17,
      96: 22,
      128: 22,
      512: 22,
      1024: 23,
      2048: 40,
      3072: 63,
      6144: 84,
      16384: 84,
      65536: 133,
      131072: 218,
    },
  },
  "epyc-7763": {
    part: "Ryzen 9 5900X at 3.69 GHz",
    source: SOURCE,
    cycles: {
      8: 4,
      32: 15,
      96: 20,
      128: 20,
      512: 23,
      1024: 37,
      2048: 55,
      3072: 73,
      6144: 78,
      16384: 79,
      65536: 122,
      131072: 236,
    },
  },
  "skylake-sp": {
    part: "Core i7-7800X at 3.50 GHz",
    source: SOURCE,
    cycles: {
      8: 4,
      32: 14,
      96: 23,
      128: 23,
      512: 79,
      1024: 78,
      2048: 107,
      3072: 163,
      6144: 230,
      16384: 263,
      65536: 286,
      131072: 291,
    },
  },
  "sapphire-rapids": {
    part: "Core i9-12900K (Golden Cove, 1.25 MiB L2) at 3.19 GHz",
    source: SOURCE,
    cycles: {
      8: 5,
      32: 15,
      96: 15,
      128: 22,
      512: 53,
      1024: 64,
      2048: 66,
      3072: 80,
      6144: 116,
      16384: 223,
      65536: 292,
      131072: 306,
    },
  },
};
