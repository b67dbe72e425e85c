// What scores mean, as in Python's runtime: probabilities by task, confidence, and answers.

const LEAST_PROBABILITY = 1e-12; // a model that ends in softmax may give 0

export function scoreCount({ task, labels }) {
  return task === "binary" ? 1 : labels.length;
}

export function probabilities(scores, contract, confidence) {
  const given = contract.output === "probabilities";
  if ((contract.task ?? "classification") === "classification") {
    if (confidence) {
      const temperature = Math.fround(confidence.temperature);
      return softmax(logitsOf(scores, contract).map((value) => value / temperature));
    }
    return given ? scores : softmax(scores);
  }
  const positive = given ? scores : scores.map(sigmoid);
  return contract.task === "binary" ? Float32Array.of(1 - positive[0], positive[0]) : positive;
}

function softmax(logits) {
  const highest = Math.max(...logits);
  const powers = logits.map((value) => Math.exp(Math.fround(value - highest)));
  const sum = powers.reduce((total, value) => total + value, 0);
  return powers.map((value) => value / sum);
}

function sigmoid(logit) {
  const power = Math.exp(-Math.abs(logit));
  return logit >= 0 ? 1 / (1 + power) : power / (1 + power);
}

function logitsOf(scores, contract) {
  return contract.output === "logits" ? scores : scores.map((value) => Math.log(Math.max(value, LEAST_PROBABILITY)));
}

export function decide(rows, contract) {
  if (contract.task === "binary") return rows[1] > Math.fround(contract.thresholds?.[0] ?? 0.5) ? 1 : 0;
  return rows.indexOf(Math.max(...rows));
}

export function multilabel(rows, contract) {
  const likeliestFirst = [...rows.keys()].sort((a, b) => rows[b] - rows[a] || a - b);
  const chosen = likeliestFirst.filter((index) => rows[index] > Math.fround(contract.thresholds?.[index] ?? 0.5));
  const index = (chosen.length ? chosen : likeliestFirst)[0];
  const labels = chosen.map((item) => contract.labels[item]);
  return { label: labels[0] ?? null, index, confidence: rows[index], probabilities: rows, labels };
}

export function isKnown(scores, probability, index, pixels, contract, { temperature, threshold, energies, contrast }) {
  const mean = pixels.reduce((total, value) => total + value, 0) / pixels.length;
  const variance = pixels.reduce((total, value) => total + (value - mean) ** 2, 0) / pixels.length;
  if (probability < Math.fround(threshold) || Math.fround(Math.sqrt(variance)) < Math.fround(contrast)) return false;
  if (energies === null || energies === undefined) return true;
  const scaled = [...scores].map((value) => value / temperature);
  const highest = Math.max(...scaled);
  const energy = temperature * (highest + Math.log(scaled.reduce((sum, value) => sum + Math.exp(value - highest), 0)));
  return Math.fround(energy) >= Math.fround(energies[index]);
}

export function largestDifference(found, expected) {
  return found.reduce((most, value, i) => Math.max(most, Math.abs(Math.fround(value - expected[i]))), 0);
}
