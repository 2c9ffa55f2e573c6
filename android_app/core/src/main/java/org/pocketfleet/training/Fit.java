package org.pocketfleet.training;

import java.util.Locale;
import org.pocketfleet.Stopwatch;
import org.pocketfleet.data.BatchOrder;
import org.pocketfleet.data.Dataset;

/**
 * Local training: epochs in a reproducible order, with the cutoff time of the on-device paper
 * (Mathur et al., "On-device Federated Learning with Flower", 2021, section 5).
 *
 * <p>A step that would end after the cutoff, judged by the longest step so far, is not begun; the
 * first step always is, so that a device returns some work however short its cutoff.
 */
final class Fit {
  private static final long SEED_FACTOR = 1_000_003;

  private final Trainer trainer;
  private final Dataset data;
  private final FitOptions options;
  private final StepListener listener;
  private final Stopwatch clock;

  Fit(Trainer trainer, Dataset data, FitOptions options, StepListener listener, Stopwatch clock) {
    this.trainer = trainer;
    this.data = data;
    this.options = options;
    this.listener = listener;
    this.clock = clock;
  }

  FitResult run() throws TrainingException, InterruptedException {
    double rate = options.learningRate();
    if (options.epochs() < 0 || !(rate >= 0) || Double.isInfinite(rate)) {
      throw new TrainingException(
          String.format(
              Locale.ROOT,
              "cannot train for %d epochs with learning rate %s",
              options.epochs(),
              rate));
    }
    double start = clock.seconds();
    TrainingStep step = trainer.prepare(data, options);
    double featuresSeconds = clock.seconds() - start;
    int batch = trainer.batchSize();
    int perEpoch = (data.size() + batch - 1) / batch;
    int planned = planned(perEpoch);
    BatchOrder batches = new BatchOrder(options.seed(), data.size());
    int[] order = null;
    int steps = 0;
    long processed = 0;
    double totalLoss = 0;
    double longest = 0;
    double began = clock.seconds();
    while (steps < planned && !isCutOff(steps, began + longest - start)) {
      if (Thread.interrupted()) {
        throw new InterruptedException("training was stopped after " + steps + " steps");
      }
      if (steps % perEpoch == 0) {
        order = batches.epoch(steps / perEpoch);
      }
      int from = steps % perEpoch * batch;
      int count = Math.min(batch, data.size() - from);
      int seed = (int) ((options.seed() * SEED_FACTOR + steps) & Integer.MAX_VALUE);
      float loss = step.run(order, from, count, seed);
      if (Float.isNaN(loss) || Float.isInfinite(loss)) {
        throw diverged(loss, steps + 1, planned);
      }
      steps++;
      processed += count;
      totalLoss += (double) loss * count;
      double ended = clock.seconds();
      longest = Math.max(longest, ended - began);
      began = ended;
      listener.step(steps, planned);
    }
    return new FitResult(
        processed == 0 ? 0 : totalLoss / processed,
        processed,
        steps,
        planned,
        clock.seconds() - start,
        featuresSeconds);
  }

  private int planned(int perEpoch) throws TrainingException {
    long all = options.steps() > 0 ? options.steps() : (long) options.epochs() * perEpoch;
    long planned = options.maxSteps() > 0 ? Math.min(all, options.maxSteps()) : all;
    if (planned > Integer.MAX_VALUE) {
      throw new TrainingException(planned + " steps in one round are too many");
    }
    return (int) planned;
  }

  private boolean isCutOff(int steps, double endOfNextStep) {
    return options.cutoffSeconds() > 0 && steps > 0 && endOfNextStep > options.cutoffSeconds();
  }

  private DivergedException diverged(float loss, int step, int planned) {
    return new DivergedException(
        String.format(
            Locale.ROOT,
            "the loss is %s at step %d of %d, with learning rate %s; a lower one may help",
            loss,
            step,
            planned,
            options.learningRate()));
  }
}
