package org.pocketfleet.desktop;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.pocketfleet.PocketfleetException;
import org.pocketfleet.ProcessUse;
import org.pocketfleet.SettingsException;
import org.pocketfleet.bundle.Bundle;
import org.pocketfleet.data.Dataset;
import org.pocketfleet.tensor.SafeTensors;
import org.pocketfleet.tensor.Tensor;
import org.pocketfleet.training.Evaluation;
import org.pocketfleet.training.FitOptions;
import org.pocketfleet.training.FitResult;
import org.pocketfleet.training.StepListener;
import org.pocketfleet.training.Trainer;

/** {@code pocketfleet-client fit}: trains a bundle on local data, without a server. */
final class FitCommand {
  private static final String EXAMPLES =
      "  # one epoch, and how long a step takes\n"
          + "  pocketfleet-client fit --bundle cifar.bundle --data shard-3.npz\n\n"
          + "  # keep the weights\n"
          + "  pocketfleet-client fit --bundle cifar.bundle --data images/ --epochs 5 \\\n"
          + "      --learning-rate 0.05 --weights-out trained.safetensors";

  private FitCommand() {}

  /**
   * Runs the command.
   *
   * @return the exit code
   * @throws Options.UsageException wrong usage
   * @throws PocketfleetException the bundle or the data cannot be used, or training failed
   */
  static int run(List<String> arguments) throws Options.UsageException, PocketfleetException {
    Options options = options();
    if (!options.parse(arguments)) {
      return 0;
    }
    FitOptions fit = fitOptions(options);
    int threads = options.has("--threads") ? options.count("--threads") : 0;
    String trust = null;
    if (options.has("--trust")) {
      byte[] pem = ClientOptions.read(options.text("--trust"));
      trust = new String(pem, StandardCharsets.US_ASCII);
    }
    NativeLibrary.load();
    Bundle bundle = Bundle.load(new File(options.text("--bundle")), trust);
    Dataset data = LocalData.at(options.text("--data")).load(bundle.manifest());
    String testPath = options.text("--test-data");
    Dataset test = testPath == null ? data : LocalData.at(testPath).load(bundle.manifest());
    try (Trainer trainer = new Trainer(bundle, threads)) {
      StepTimes times = new StepTimes();
      FitResult result = trainer.fit(data, fit, times);
      Evaluation evaluation = trainer.evaluate(test);
      if (options.has("--weights-out")) {
        write(trainer.weights(), new File(options.text("--weights-out")));
      }
      if (options.has("--json")) {
        System.out.println(json(trainer, result, evaluation, times));
      } else {
        print(trainer, result, evaluation, times);
      }
    } catch (InterruptedException interrupted) {
      throw new PocketfleetException("interrupted; nothing was kept", interrupted);
    }
    return 0;
  }

  private static Options options() {
    return new Options(
            "pocketfleet-client fit",
            "Train a bundle on local data, without a server: to try it, and to time it.",
            EXAMPLES)
        .required("--bundle", "DIR", "what to train (directory or zip)")
        .required("--data", "FILE", "training data: .npz or image folder")
        .optional("--test-data", "FILE", "data to evaluate on (default: the training data)")
        .optional("--epochs", "E", "times to go through the data", "1")
        .optional("--learning-rate", "L", "of every step", "0.01")
        .optional("--cut", "LAYER", "train only from this layer on, one of the bundle's cuts")
        .optional("--mu", "M", "weight of the proximal term (FedProx)", "0")
        .optional("--seed", "S", "decides the order of the samples and the dropout masks", "0")
        .optional("--steps", "N", "end after so many steps, whatever the epochs")
        .optional("--threads", "N", "threads for training (default: the fastest)")
        .flag("--no-feature-cache", "compute a frozen base anew in every step")
        .optional("--trust", "KEY.pem", "public key that must have signed the bundle")
        .optional("--weights-out", "FILE", "write the trained weights there, as safetensors")
        .flag("--json", "print one JSON object");
  }

  private static FitOptions fitOptions(Options options) throws Options.UsageException {
    String seed = options.text("--seed");
    if (!seed.matches("[0-9]{1,18}")) {
      throw new Options.UsageException("--seed: " + seed + " is not a whole number from 0 on");
    }
    String cut = options.text("--cut");
    return FitOptions.of(options.count("--epochs"), options.number("--learning-rate"))
        .cut(cut == null ? "" : cut)
        .mu(options.number("--mu"))
        .seed(Long.parseLong(seed))
        .maxSteps(options.has("--steps") ? options.count("--steps") : 0)
        .cacheFeatures(!options.has("--no-feature-cache"))
        .build();
  }

  private static void print(
      Trainer trainer, FitResult result, Evaluation evaluation, StepTimes times) {
    System.out.printf(
        Locale.ROOT,
        "bundle: %s (%.12s)%nruntime: %s%nsteps: %d of %d%nloss: %.4f%nstep: %.2f ms (median)%n"
            + "accuracy: %.4f%n",
        trainer.manifest().name(),
        trainer.bundle().sha256(),
        Trainer.runtime(),
        result.steps(),
        result.plannedSteps(),
        result.loss(),
        times.medianMs(),
        evaluation.accuracy());
  }

  private static JsonObject json(
      Trainer trainer, FitResult result, Evaluation evaluation, StepTimes times) {
    JsonObject json = new JsonObject();
    json.addProperty("bundle", trainer.bundle().sha256());
    json.addProperty("model", trainer.manifest().name());
    json.addProperty("runtime", Trainer.runtime());
    json.addProperty("steps", result.steps());
    json.addProperty("planned_steps", result.plannedSteps());
    json.addProperty("examples_processed", result.examplesProcessed());
    json.addProperty("loss", result.loss());
    json.addProperty("eval_loss", evaluation.loss());
    json.addProperty("eval_accuracy", evaluation.accuracy());
    json.addProperty("train_s", result.trainSeconds());
    json.addProperty("features_s", result.featuresSeconds());
    json.addProperty("step_ms", times.medianMs());
    JsonArray each = new JsonArray();
    for (double ms : times.all()) {
      each.add(ms);
    }
    json.add("steps_ms", each);
    json.addProperty("peak_memory_bytes", ProcessUse.peakMemoryBytes());
    return json;
  }

  private static void write(Map<String, Tensor> weights, File file) throws SettingsException {
    File part = new File(file.getPath() + ".part");
    try {
      try (FileOutputStream out = new FileOutputStream(part)) {
        SafeTensors.write(weights, out.getChannel());
      }
      if (!part.renameTo(file)) {
        throw new IOException("it cannot be renamed");
      }
    } catch (IOException error) {
      if (part.exists() && !part.delete()) {
        System.err.println("pocketfleet-client: left behind: " + part);
      }
      throw new SettingsException(file + ": cannot be written: " + error.getMessage(), error);
    }
  }

  /** How long each step took, the first one apart: it prepares the model. */
  private static final class StepTimes implements StepListener {
    private double[] ms = new double[256];
    private int count;
    private long last = System.nanoTime();

    @Override
    public void step(int done, int planned) {
      long now = System.nanoTime();
      if (count == ms.length) {
        ms = Arrays.copyOf(ms, 2 * count);
      }
      ms[count++] = (now - last) / 1e6;
      last = System.nanoTime();
    }

    double[] all() {
      return Arrays.copyOf(ms, count);
    }

    double medianMs() {
      double[] sorted = count < 2 ? all() : Arrays.copyOfRange(ms, 1, count);
      Arrays.sort(sorted);
      return sorted.length == 0 ? 0 : sorted[sorted.length / 2];
    }
  }
}
