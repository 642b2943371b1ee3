// The random numbers of numpy, bit for bit: Philox with float32 normal draws for the latents, SeedSequence and PCG64 for
// the synthesis. 64-bit numbers are pairs of 32-bit halves, low half first.

const TWO_TO_32 = 4294967296;
const MASK_64 = (1n << 64n) - 1n;

/** Both halves of a whole number from 0 to 2**64 - 1. `value`: number or bigint. Returns: [low, high]. */
export function halves(value) {
  const whole = BigInt(value) & MASK_64;
  return [Number(whole & 0xffffffffn), Number(whole >> 32n)];
}

/** The upper 32 bits of a product of two 32-bit numbers. */
function highProduct(a, b) {
  const aLow = a & 0xffff, aHigh = a >>> 16, bLow = b & 0xffff, bHigh = b >>> 16;
  // Each sum stays below 2**32.
  const middle = (Math.imul(aHigh, bLow) >>> 0) + (Math.imul(aLow, bLow) >>> 16);
  const other = (Math.imul(aLow, bHigh) >>> 0) + (middle & 0xffff);
  return ((Math.imul(aHigh, bHigh) >>> 0) + (middle >>> 16) + (other >>> 16)) >>> 0;
}

// --- Philox4x64-10 -----------------------------------------------------------------------------------------------

// Multipliers and key increments.
const M0_LOW = 0xe14c6c93, M0_HIGH = 0xd2e7470e, M1_LOW = 0x95121157, M1_HIGH = 0xca5a8263;
const W0_LOW = 0x7f4a7c15, W0_HIGH = 0x9e3779b9, W1_LOW = 0x84caa73b, W1_HIGH = 0xbb67ae85;
const ROUNDS = 10;

/**
 * The 32-bit words of numpy's Philox, each 64-bit word as its low and then its high half.
 * Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
 */
export class Philox {
  /** `key`: two whole numbers from 0 to 2**64 - 1. */
  constructor(key) {
    this._key = [...halves(key[0]), ...halves(key[1])];
    this._counter = new Uint32Array(8);
    this._words = new Uint32Array(8);
    this._next = 8;
  }

  /** The next 32 bits. */
  uint32() {
    if (this._next === 8) this._refill();
    return this._words[this._next++];
  }

  _refill() {
    for (let half = 0; half < 8 && ++this._counter[half] === 0; half++);
    const words = this._words;
    words.set(this._counter);
    const key = this._key;
    let k0Low = key[0], k0High = key[1], k1Low = key[2], k1High = key[3];
    for (let round = 0; round < ROUNDS; round++) {
      mixRound(words, k0Low, k0High, k1Low, k1High);
      k0High = (k0High + W0_HIGH + (k0Low + W0_LOW >= TWO_TO_32 ? 1 : 0)) >>> 0;
      k0Low = (k0Low + W0_LOW) >>> 0;
      k1High = (k1High + W1_HIGH + (k1Low + W1_LOW >= TWO_TO_32 ? 1 : 0)) >>> 0;
      k1Low = (k1Low + W1_LOW) >>> 0;
    }
    this._next = 0;
  }
}

const product = new Uint32Array(4);

/** One round of Philox on four 64-bit words, in place. */
function mixRound(words, k0Low, k0High, k1Low, k1High) {
  multiply(M0_LOW, M0_HIGH, words[0], words[1]);
  const aLow = product[0], aHigh = product[1], aTop = product[2], aTopHigh = product[3];
  multiply(M1_LOW, M1_HIGH, words[4], words[5]);
  const c1Low = words[2], c1High = words[3], c3Low = words[6], c3High = words[7];
  words[0] = product[2] ^ c1Low ^ k0Low;
  words[1] = product[3] ^ c1High ^ k0High;
  words[2] = product[0];
  words[3] = product[1];
  words[4] = aTop ^ c3Low ^ k1Low;
  words[5] = aTopHigh ^ c3High ^ k1High;
  words[6] = aLow;
  words[7] = aHigh;
}

/** The 128 bits of a product of two 64-bit numbers, in `product`, lowest 32 bits first. */
function multiply(aLow, aHigh, bLow, bHigh) {
  const top = highProduct(aLow, bLow);
  const left = Math.imul(aLow, bHigh) >>> 0, right = Math.imul(aHigh, bLow) >>> 0;
  const second = top + left + right;
  const upper = Math.imul(aHigh, bHigh) >>> 0;
  const third = highProduct(aLow, bHigh) + highProduct(aHigh, bLow) + upper + Math.floor(second / TWO_TO_32);
  product[0] = Math.imul(aLow, bLow);
  product[1] = second;
  product[2] = third;
  product[3] = highProduct(aHigh, bHigh) + Math.floor(third / TWO_TO_32);
}

// --- normal draws ------------------------------------------------------------------------------------------------

// Tables of the ziggurat of 256 strips for 23 bits, from the recursion of Marsaglia and Tsang 2000, "The ziggurat method
// for generating random variables", with r and v below. They are kept as numbers because engines need not round exp and
// log alike (tests/web/test_random.py computes them again): uint32, float32, float32, little-endian.
const R = 3.6541528853610088, R_INVERSE = 0.27366123732975828;
const K = table(Uint32Array,
  "7Jl3AAAAAAD0RWAApxptALOPcgCvknUAXHp3ADjKeABrv3kANHp6AC8NewDTg3sAl+V7AIg3fAAyfXwAJrl8AEjtfAAHG30AfkN9AItnfQDbh3" +
  "0A/KR9AGG/fQBn130AXO19AIMBfgAQFH4AMyV+ABQ1fgDVQ34AklF+AGdefgBoan4AqnV+AD2AfgAyin4AlZN+AHKcfgDUpH4Axax+AE60fgB1" +
  "u34AQsJ+ALzIfgDozn4Ay9R+AGrafgDK334A7+R+ANzpfgCU7n4AG/N+AHP3fgCg+34Ao/9+AH8DfwA2B38AyQp/ADwOfwCPEX8AxBR/ANwXfw" +
  "DZGn8AvB1/AIcgfwA6I38A1iV/AF0ofwDPKn8ALi1/AHkvfwCzMX8A2zN/APM1fwD6N38A8jl/ANw7fwC3PX8AhD9/AERBfwD3Qn8AnkR/ADpG" +
  "fwDJR38ATkl/AMhKfwA3TH8AnU1/APlOfwBLUH8AlFF/ANVSfwANVH8APFV/AGRWfwCDV38Am1h/AKxZfwC1Wn8At1t/ALJcfwCnXX8AlV5/AH" +
  "1ffwBfYH8AOmF/ABBifwDfYn8AqmN/AG5kfwAtZX8A52V/AJxmfwBLZ38A9md/AJtofwA8aX8A2Gl/AG9qfwACa38AkGt/ABpsfwCgbH8AIW1/" +
  "AJ5tfwAWbn8Ai25/APxufwBob38A0G9/ADVwfwCWcH8A8nB/AEtxfwCgcX8A8XF/AD9yfwCJcn8Az3J/ABFzfwBQc38Ai3N/AMJzfwD2c38AJn" +
  "R/AFN0fwB7dH8AoXR/AMJ0fwDgdH8A+nR/ABF1fwAkdX8AM3V/AD51fwBGdX8ASnV/AEp1fwBGdX8AP3V/ADN1fwAkdX8AEHV/APl0fwDddH8A" +
  "vnR/AJp0fwBydH8ARXR/ABR0fwDec38ApHN/AGZzfwAic38A2nJ/AIxyfwA6cn8A4nF/AIVxfwAjcX8AunB/AE1wfwDZb38AX29/AN9ufwBYbn" +
  "8Ay21/ADZtfwCbbH8A+Gt/AE5rfwCcan8A4ml/AB9pfwBTaH8Afmd/AKBmfwC4ZX8AxWR/AMhjfwC/Yn8Aq2F/AIpgfwBcX38AIV5/ANdcfwB/" +
  "W38AFlp/AJ1YfwASV38AdVV/AMRTfwD+UX8AIlB/AC5OfwAhTH8A+kl/ALVHfwBSRX8Az0J/ACdAfwBaPX8AYzp/AEA3fwDtM38AZDB/AKMsfw" +
  "CjKH8AXiR/AM0ffwDpGn8AqBV/AAAQfwDkCX8ARgN/ABX8fgA+9H4AqOt+ADfifgDH134AL8x+ADe/fgCdsH4ACqB+AA2NfgAQd34ARl1+AJM+" +
  "fgBZGX4ALOt9ADawfQACYn0AuPR8ANJPfAAvNnsA0tJ4AA==",
);
const W = table(Float32Array,
  "3En6NF9o3DJ6hRIzyuUrM+cPQDNhGFEzaQJgM3thbTNBknkzkWmCMyqohzM1lYwzFD2RM3KplTP+4Zkz9uydM3zPoTPajaUzqyupMwWsrDOOEb" +
  "Azk16zMxWVtjPXtrkzacW8My3CvzNjrsIzJYvFM3VZyDM8GsszTM7NM2d20DM7E9Mza6XVM4st2DMkrNoztCHdM7GO3zOI8+EznVDkM1Cm5jP4" +
  "9Ogz6TzrM3B+7TPVue8zXu/xM0of9DPWSfYzPG/4M7OP+jNtq/wznML+M7dqADQIcgE0VXcCNLN6AzQ1fAQ07HsFNOt5BjRCdgc0AnEINDhqCT" +
  "T1YQo0RlgLNDlNDDTbQA00ODMONF0kDzRVFBA0LAMRNOzwETSg3RI0U8kTNA60FDTbnRU0w4YWNM9uFzQIVhg0dzwZNCQiGjQWBxs0VusbNOvO" +
  "HDTesR00NZQeNPd1HzQsVyA02TchNAcYIjS89yI0/dYjNNK1JDRAlCU0TXImNAFQJzRfLSg0cAopNDfnKTS6wyo0AKArNA58LDTpVy00lzMuNB" +
  "wPLzR+6i80w8UwNO+gMTQIfDI0E1czNBQyNDQRDTU0D+g1NBPDNjQinjc0QHk4NHNUOTS/Lzo0Kgs7NLjmOzRuwjw0Up49NGh6PjS0Vj80PTNA" +
  "NAcQQTQW7UE0ccpCNBuoQzQbhkQ0dWRFNC1DRjRLIkc00QFINMfhSDQxwkk0FKNKNHaESzRcZkw0zUhNNMwrTjRhD080kfNPNGLYUDTZvVE0/a" +
  "NSNNSKUzRjclQ0slpVNMZDVjSnLVc0WhhYNOgDWTRV8Fk0qt1aNO7LWzQou1w0X6tdNJucXjTljl80Q4JgNL92YTRhbGI0MGNjNDdbZDR+VGU0" +
  "Dk9mNPJKZzQySGg02UZpNPFGajSFSGs0oEtsNE1QbTSYVm40jV5vNDhocDSmc3E05YByNAGQczQKoXQ0DrR1NBzJdjRD4Hc0lPl4NCAVejT5Mn" +
  "s0MFN8NNl1fTQHm340zsJ/NKJ2gDRADYE0TKWBNNI+gjTg2YI0gXaDNMQUhDS4tIQ0bFaFNO/5hTRSn4Y0pkaHNP/vhzRwm4g0DUmJNOv4iTQi" +
  "q4o0yl+LNPwWjDTT0Iw0bI2NNOVMjjRgD480/tSPNOWdkDQ8apE0LTqSNOYNkzSY5ZM0dsGUNLuhlTSihpY0bnCXNGdfmDTbU5k0IE6aNJROmz" +
  "SdVZw0rGOdND55njTdlp80Jb2gNMHsoTRyJqM0FGukNJ27pTQoGac0+4SoNIsAqjSNjas0BC6tNFHkrjROs7A0dJ6yNAaqtDRc27Y0SDm5NKvM" +
  "uzRwob40GMjBNH5YxTQFd8k0cF/ONOR+1DT6wNw0pN3pNA==",
);
const F = table(Float32Array,
  "AACAP1Yjej+junU/j/hxP32bbj+QhGs/TKJoP53pZT/2UmM/59hgP1p3Xj8qK1w/1PFZP1LJVz/4r1U/X6RTP1ilUT/fsU8/FMlNPzPqSz+OFE" +
  "o/jkdIP6qCRj9qxUQ/YA9DPyhgQT9qtz8/1BQ+Pxp4PD/44Do/ME85P4bCNz/FOjY/u7c0Pzk5Mz8VvzE/JUkwP0PXLj9NaS0/If8rP6CYKj+r" +
  "NSk/J9YnP/p5Jj8MISU/Q8sjP4p4Ij/MKCE/9dsfP/GRHj+tSh0/GQYcPyTEGj++hBk/2EcYP2MNFz9R1RU/lJ8UPyFsEz/rOhI/5QsRPwXfDz" +
  "9AtA4/i4sNP9xkDD8pQAs/aR0KP5L8CD+d3Qc/gcAGPzSlBT+xiwQ/7nMDP+VdAj+PSQE/5DYAP7xL/j7tLPw+ThH6PtT49z5x4/U+G9HzPsfB" +
  "8T5qte8++qvtPmul6z61oek+zqDnPqyi5T5Gp+M+k67hPoy43z4nxd0+XNTbPiPm2T51+tc+ShHWPpoq1D5fRtI+kmTQPiuFzj4kqMw+d83KPh" +
  "31yD4QH8c+SkvFPsV5wz58qsE+ad2/PoUSvj7NSbw+O4O6Psq+uD50/LY+NTy1Pgl+sz7qwbE+1AewPsJPrj6xmaw+nOWqPn4zqT5Ug6c+G9Wl" +
  "Ps0opD5nfqI+59WgPkcvnz6Eip0+m+ebPolGmj5Kp5g+3AmXPjpulT5i1JM+UTySPgSmkD54EY8+qn6NPpftiz4+Xoo+mtCIPqtEhz5suoU+3D" +
  "GEPvmqgj7AJYE+XER/PoRAfD7zP3k+pUJ2PpZIcz7BUXA+I15tPrhtaj58gGc+bZZkPoavYT7Ey14+JOtbPqMNWT49M1Y+8FtTPrqHUD6Wtk0+" +
  "g+hKPn4dSD6FVUU+lJBCPqvOPz7HDz0+5VM6PgSbNz4i5TQ+PTIyPlSCLz5k1Sw+bSsqPm2EJz5j4CQ+Tj8iPiyhHz79BR0+wG0aPnTYFz4ZRh" +
  "U+rbYSPjEqED6loA0+BxoLPlmWCD6aFQY+ypcDPuscAT72Sf09+V/4PeB78z2rne49XsXpPfry5D2DJuA9/F/bPWef1j3K5NE9JzDNPYSByD3l" +
  "2MM9UDa/PcuZuj1cA7Y9CXOxPdvorD3YZKg9CuejPXlvnz0v/po9NpOWPZoukj1m0I09p3iJPWknhT293IA9YTF5Paq2cD14SWg98OlfPT2YVz" +
  "2IVE89AR9HPdz3Pj1O3zY9ktUuPejaJj2W7x495xMXPS1IDz3BjAc9D8T/PNeQ8DzMgOE8+pTSPI7OwzzYLrU8WLemPMRpmDwaSIo8Uql4PGkk" +
  "XTwgCEI8slwnPJEsDTwIC+c7R/W0O/hQhDv6/Co7LjClOg==",
);

function table(Kind, text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Kind(bytes.buffer);
}

const round = Math.fround;
const uniform = (source) => (source.uint32() >>> 8) / 16777216;

/** The next standard normal number as numpy's Generator draws float32. `source`: has uint32(). */
export function standardNormal(source) {
  for (;;) {
    const bits = source.uint32();
    const strip = bits & 0xff, size = (bits >>> 9) & 0x7fffff;
    const x = (bits & 0x100 ? -1 : 1) * round(size * W[strip]);
    if (size < K[strip]) return x;
    if (strip === 0) return tail(source, size);
    const height = round(round(round(F[strip - 1] - F[strip]) * uniform(source)) + F[strip]);
    if (height < Math.exp(-0.5 * x * x)) return x;
  }
}

/**
 * A draw beyond r. The logarithm is rounded correctly, which C libraries do not all do: one in 500,000 draws may differ in
 * its last bit.
 */
function tail(source, size) {
  for (;;) {
    const x = round(-round(R_INVERSE) * round(Math.log1p(-uniform(source))));
    const y = -round(Math.log1p(-uniform(source)));
    if (round(y + y) > round(x * x)) return (size >>> 8) & 1 ? -round(round(R) + x) : round(round(R) + x);
  }
}

/**
 * Standard normal noise of one sound at one step, as `arctone.flow.noise.item_noise`.
 * `seed`, `step`: 0 to 2**63 - 1. Returns: Float32Array [channels, frames]; a longer sound begins with the noise of a
 * shorter one.
 */
export function itemNoise(seed, step, channels, frames) {
  const source = new Philox([seed, step]);
  const noise = new Float32Array(channels * frames);
  for (let frame = 0; frame < frames; frame++) {
    for (let channel = 0; channel < channels; channel++) noise[channel * frames + frame] = standardNormal(source);
  }
  return noise;
}

// --- SeedSequence and PCG64 --------------------------------------------------------------------------------------

const INIT_A = 0x43b0d7e5, MULT_A = 0x931e8875, INIT_B = 0x8b51f9dd, MULT_B = 0x58f38ded;
const MIX_LEFT = 0xca01f9dd, MIX_RIGHT = 0x4973f715, POOL = 4;

/** `count` 32-bit words of numpy's SeedSequence. `entropy`: a whole number that is not negative, or an array of them. */
export function seedWords(entropy, count) {
  const given = [entropy].flat().flatMap(wordsOf);
  const pool = new Uint32Array(POOL);
  let constant = INIT_A;
  const hashed = (value) => {
    let mixed = value ^ constant;
    constant = Math.imul(constant, MULT_A);
    mixed = Math.imul(mixed, constant);
    return mixed ^ (mixed >>> 16);
  };
  const mix = (place, value) => {
    const mixed = Math.imul(MIX_LEFT, pool[place]) - Math.imul(MIX_RIGHT, value) | 0;
    pool[place] = mixed ^ (mixed >>> 16);
  };
  for (let place = 0; place < POOL; place++) pool[place] = hashed(given[place] ?? 0);
  for (let from = 0; from < POOL; from++) {
    for (let to = 0; to < POOL; to++) if (from !== to) mix(to, hashed(pool[from]));
  }
  for (const word of given.slice(POOL)) for (let to = 0; to < POOL; to++) mix(to, hashed(word));
  return stateWords(pool, count);
}

function stateWords(pool, count) {
  let constant = INIT_B;
  return Uint32Array.from({ length: count }, (_, index) => {
    let value = pool[index % POOL] ^ constant;
    constant = Math.imul(constant, MULT_B);
    value = Math.imul(value, constant);
    return value ^ (value >>> 16);
  });
}

/** A whole number as 32-bit words, the lowest first. */
function wordsOf(value) {
  const words = [];
  let left = BigInt(value);
  do {
    words.push(Number(left & 0xffffffffn));
    left >>= 32n;
  } while (left > 0n);
  return words;
}

// The multiplier of PCG64, lowest 32 bits first.
const PCG = [0x9fccf645, 0x4385df64, 0x1fc65da4, 0x2360ed05];

/** numpy's `default_rng(seed)`: PCG64 (XSL-RR). Source: O'Neill 2014, "PCG". */
export class Pcg64 {
  /** `seed`: a whole number that is not negative. */
  constructor(seed) {
    const words = seedWords(seed, 8);
    // numpy hands over 64-bit words, the upper one of each pair first.
    const start = [words[2], words[3], words[0], words[1]];
    const stream = [words[6], words[7], words[4], words[5]];
    this._increment = stream.map((word, n) => ((word << 1) | (n ? stream[n - 1] >>> 31 : 1)) >>> 0);
    this._state = new Uint32Array(4);
    this._low = this._high = this._spare = 0;
    this._hasSpare = false;
    this._step();
    let carry = 0;
    for (let n = 0; n < 4; n++) {
      const sum = this._state[n] + start[n] + carry;
      this._state[n] = sum;
      carry = sum >= TWO_TO_32 ? 1 : 0;
    }
    this._step();
  }

  _step() {
    const state = this._state, step = this._increment;
    const c0 = step[0], c1 = step[1], c2 = step[2], c3 = step[3];
    const s0 = state[0], s1 = state[1], s2 = state[2], s3 = state[3];
    const sum0 = (Math.imul(s0, PCG[0]) >>> 0) + c0;
    const sum1 = highProduct(s0, PCG[0]) + (Math.imul(s0, PCG[1]) >>> 0) + (Math.imul(s1, PCG[0]) >>> 0) + c1
      + (sum0 >= TWO_TO_32 ? 1 : 0);
    const sum2 = highProduct(s0, PCG[1]) + highProduct(s1, PCG[0]) + (Math.imul(s0, PCG[2]) >>> 0)
      + (Math.imul(s1, PCG[1]) >>> 0) + (Math.imul(s2, PCG[0]) >>> 0) + c2 + Math.floor(sum1 / TWO_TO_32);
    state[3] = highProduct(s0, PCG[2]) + highProduct(s1, PCG[1]) + highProduct(s2, PCG[0])
      + (Math.imul(s0, PCG[3]) >>> 0) + (Math.imul(s1, PCG[2]) >>> 0) + (Math.imul(s2, PCG[1]) >>> 0)
      + (Math.imul(s3, PCG[0]) >>> 0) + c3 + Math.floor(sum2 / TWO_TO_32);
    state[0] = sum0;
    state[1] = sum1;
    state[2] = sum2;
  }

  /** Draw 64 bits into `_low` and `_high`. */
  _draw() {
    this._step();
    const state = this._state;
    const low = state[0] ^ state[2], high = state[1] ^ state[3], turn = state[3] >>> 26, by = turn & 31;
    const a = turn < 32 ? low : high, b = turn < 32 ? high : low;
    this._low = (by ? (a >>> by) | (b << (32 - by)) : a) >>> 0;
    this._high = (by ? (b >>> by) | (a << (32 - by)) : b) >>> 0;
  }

  /** The next 32 bits: of each 64 the low half, then the high half. */
  uint32() {
    if (this._hasSpare) {
      this._hasSpare = false;
      return this._spare;
    }
    this._draw();
    this._hasSpare = true;
    this._spare = this._high;
    return this._low;
  }

  /** A float32 from 0 up to 1. */
  float32() {
    return (this.uint32() >>> 8) / 16777216;
  }

  /** A float64 from 0 up to 1. */
  float64() {
    this._draw();
    return (this._high * 2097152 + (this._low >>> 11)) / 9007199254740992;
  }

  /** 0 or 1, as `integers(0, 2)`. */
  bit() {
    return this.uint32() >>> 31;
  }
}

/** Whole number for `Pcg64` that keeps the random part of one window apart from that of others (see WindowSampler). */
export function windowSeed(seed, start, pass) {
  if (start === 0 && pass === 0) return BigInt(seed);
  const [low, high] = seedWords([seed, start, pass], 2);
  return ((BigInt(high) << 32n) | BigInt(low)) >> 1n;
}
