// A Fourier transform of two real sounds at once: one is the real part, the other the imaginary part of a complex sound.
// Spectra stay in the order in which the transform leaves them; `places` says where a frequency lies.

/** Transforms of one size, a power of 2 from 8 that is twice a power of 4: 8, 32, 128, 512, 2048, ... */
export class PairTransform {
  constructor(size) {
    if (!(size >= 8) || (Math.log2(size) - 1) % 2) throw new Error(`size must be twice a power of 4, got ${size}.`);
    this.size = size;
    this.places = Int32Array.from({ length: size }, (_, frequency) => placeOf(frequency, size));
    this._stages = [];
    for (let length = size; length > 2; length /= 4) this._stages.push(twiddles(length));
  }

  /** Transform in place. `re`, `im`: Float64Array of this size, in the order of time. */
  forward(re, im) {
    const size = this.size;
    for (let stage = 0, length = size; length > 2; stage++, length /= 4) split(re, im, size, length >> 2, this._stages[stage]);
    pairs(re, im, size);
  }

  /** Undo `forward`, times the size. */
  inverse(re, im) {
    const size = this.size;
    pairs(re, im, size);
    for (let stage = this._stages.length - 1, length = 8; stage >= 0; stage--, length *= 4) {
      join(re, im, size, length >> 2, this._stages[stage]);
    }
  }
}

function placeOf(frequency, length) {
  return length === 2 ? frequency : (frequency % 4) * (length >> 2) + placeOf(frequency >> 2, length >> 2);
}

/** exp(-2 pi i j n / length) for n = 1, 2, 3 and each j below a quarter of the length: six numbers for each j. */
function twiddles(length) {
  const found = new Float64Array(6 * (length >> 2));
  for (let j = 0; j < length >> 2; j++) {
    for (let n = 1; n <= 3; n++) {
      const angle = (-2 * Math.PI * j * n) / length;
      found[6 * j + 2 * n - 2] = Math.cos(angle);
      found[6 * j + 2 * n - 1] = Math.sin(angle);
    }
  }
  return found;
}

/** Sums and differences of neighbors. */
function pairs(re, im, size) {
  for (let n = 0; n < size; n += 2) {
    const aRe = re[n], aIm = im[n], bRe = re[n + 1], bIm = im[n + 1];
    re[n] = aRe + bRe;
    im[n] = aIm + bIm;
    re[n + 1] = aRe - bRe;
    im[n + 1] = aIm - bIm;
  }
}

/** One transform of each block becomes four of its quarters (decimation in frequency). */
function split(re, im, size, quarter, turn) {
  const half = 2 * quarter, third = 3 * quarter, length = 4 * quarter;
  for (let j = 0; j < quarter; j++) {
    const t = 6 * j;
    const c1 = turn[t], s1 = turn[t + 1], c2 = turn[t + 2], s2 = turn[t + 3], c3 = turn[t + 4], s3 = turn[t + 5];
    for (let a = j; a < size; a += length) {
      const b = a + quarter, c = a + half, d = a + third;
      const aRe = re[a], aIm = im[a], bRe = re[b], bIm = im[b], cRe = re[c], cIm = im[c], dRe = re[d], dIm = im[d];
      const evenRe = aRe + cRe, evenIm = aIm + cIm, oddRe = bRe + dRe, oddIm = bIm + dIm;
      const leftRe = aRe - cRe, leftIm = aIm - cIm, rightRe = bIm - dIm, rightIm = dRe - bRe;
      re[a] = evenRe + oddRe;
      im[a] = evenIm + oddIm;
      const y1Re = leftRe + rightRe, y1Im = leftIm + rightIm;
      re[b] = y1Re * c1 - y1Im * s1;
      im[b] = y1Re * s1 + y1Im * c1;
      const y2Re = evenRe - oddRe, y2Im = evenIm - oddIm;
      re[c] = y2Re * c2 - y2Im * s2;
      im[c] = y2Re * s2 + y2Im * c2;
      const y3Re = leftRe - rightRe, y3Im = leftIm - rightIm;
      re[d] = y3Re * c3 - y3Im * s3;
      im[d] = y3Re * s3 + y3Im * c3;
    }
  }
}

/** Four transforms of quarters become one of each block: `split` undone, times 4. */
function join(re, im, size, quarter, turn) {
  const half = 2 * quarter, third = 3 * quarter, length = 4 * quarter;
  for (let j = 0; j < quarter; j++) {
    const t = 6 * j;
    const c1 = turn[t], s1 = turn[t + 1], c2 = turn[t + 2], s2 = turn[t + 3], c3 = turn[t + 4], s3 = turn[t + 5];
    for (let a = j; a < size; a += length) {
      const b = a + quarter, c = a + half, d = a + third;
      const bRe = re[b], bIm = im[b], cRe = re[c], cIm = im[c], dRe = re[d], dIm = im[d];
      const z0Re = re[a], z0Im = im[a];
      const z1Re = bRe * c1 + bIm * s1, z1Im = bIm * c1 - bRe * s1;
      const z2Re = cRe * c2 + cIm * s2, z2Im = cIm * c2 - cRe * s2;
      const z3Re = dRe * c3 + dIm * s3, z3Im = dIm * c3 - dRe * s3;
      const evenRe = z0Re + z2Re, evenIm = z0Im + z2Im, oddRe = z1Re + z3Re, oddIm = z1Im + z3Im;
      const leftRe = z0Re - z2Re, leftIm = z0Im - z2Im, rightRe = z3Im - z1Im, rightIm = z1Re - z3Re;
      re[a] = evenRe + oddRe;
      im[a] = evenIm + oddIm;
      re[b] = leftRe + rightRe;
      im[b] = leftIm + rightIm;
      re[c] = evenRe - oddRe;
      im[c] = evenIm - oddIm;
      re[d] = leftRe - rightRe;
      im[d] = leftIm - rightIm;
    }
  }
}
