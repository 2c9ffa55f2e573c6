package org.pocketfleet.training;

import java.nio.ByteBuffer;
import org.pocketfleet.data.Dataset;

/** One step of SGD after the other, on batches of a dataset. A step allocates nothing here. */
final class TrainingStep {
  private final Dataset data;
  private final Samples samples;
  private final Batch input;
  private final SignatureCall features;
  private final Batch labelled;
  private final SignatureCall train;
  private final ByteBuffer seed;
  private final ByteBuffer loss;

  /**
   * Prepares steps.
   *
   * @param samples what is fed to {@code input}
   * @param input the buffers that the samples go to
   * @param features turns {@code input} into the samples of {@code labelled}; null: they are the
   *     same batch
   * @param labelled the buffers that {@code train} takes
   * @param train the signature that trains, its learning rate set
   */
  TrainingStep(
      Dataset data,
      Samples samples,
      Batch input,
      SignatureCall features,
      Batch labelled,
      SignatureCall train) {
    this.data = data;
    this.samples = samples;
    this.input = input;
    this.features = features;
    this.labelled = labelled;
    this.train = train;
    this.seed = train.input("seed");
    this.loss = train.output("loss");
  }

  /**
   * Takes a step.
   *
   * @param order indices of the samples
   * @param from where in the order the batch begins
   * @param count how many samples are in the batch
   * @param stepSeed of the dropout masks
   * @return mean loss over the batch, before the step
   */
  float run(int[] order, int from, int count, int stepSeed) throws TrainingException {
    input.fill(samples, order, from, count);
    if (features != null) {
      features.run();
    }
    labelled.label(data, order, from, count);
    if (seed != null) {
      seed.putInt(0, stepSeed);
    }
    train.run();
    return loss.getFloat(0);
  }
}
