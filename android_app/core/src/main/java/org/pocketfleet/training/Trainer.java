package org.pocketfleet.training;

import java.nio.ByteBuffer;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.pocketfleet.Stopwatch;
import org.pocketfleet.bundle.Bundle;
import org.pocketfleet.bundle.BundleException;
import org.pocketfleet.bundle.Manifest;
import org.pocketfleet.bundle.Signature;
import org.pocketfleet.data.Dataset;
import org.pocketfleet.tensor.DType;
import org.pocketfleet.tensor.Tensor;
import org.tensorflow.lite.Interpreter;
import org.tensorflow.lite.TensorFlowLite;

/**
 * Trains, evaluates and applies a bundle's model with TensorFlow Lite. One model with its state, in
 * one interpreter, and its frozen base, if it has one, in another; for one thread at a time.
 */
public final class Trainer implements AutoCloseable {
  private static final String HEAD = "train_head";
  private static final String FEATURES = "features";
  private static final String SAMPLES = "x";
  private static final String PROBABILITIES = "probabilities";

  private final Bundle bundle;
  private final Manifest manifest;
  private final Interpreter interpreter;
  private final Weights weights;
  private final Batch batch;
  private final Batch entering;
  private final FrozenBase base;
  private final Map<String, SignatureCall> calls = new LinkedHashMap<>();
  private Dataset cachedFor;
  private Tensor cached;

  /**
   * Loads a model and sets its initial weights.
   *
   * @param threads threads of the interpreter; 0: {@link #defaultThreads}
   * @throws BundleException the bundle's files were altered, or its model is not what its manifest
   *     says
   * @throws TrainingException TensorFlow Lite cannot be used on this device
   */
  public Trainer(Bundle bundle, int threads) throws BundleException, TrainingException {
    this.bundle = bundle;
    this.manifest = bundle.manifest();
    int used = threads == 0 ? defaultThreads() : threads;
    this.interpreter = ModelLoader.model(bundle, used);
    boolean opened = false;
    try {
      this.weights = new Weights(interpreter, manifest);
      setWeights(bundle.initial());
      Batch given = new Batch(manifest.signatures().get("evaluate").inputs().get(entry()));
      this.entering = given;
      if (hasFeatures()) {
        this.batch = new Batch(manifest.signatures().get(FEATURES).inputs().get(SAMPLES));
        this.base = new FrozenBase(bundle, used, batch, given);
      } else {
        this.batch = given;
        this.base = null;
      }
      opened = true;
    } catch (WeightsException impossible) {
      throw new IllegalStateException("the initial weights were checked", impossible);
    } finally {
      if (!opened) {
        interpreter.close();
      }
    }
  }

  /** The name and version of TensorFlow Lite, for people. */
  public static String runtime() {
    return "tensorflow-lite " + TensorFlowLite.runtimeVersion() + " (java)";
  }

  /**
   * How many threads train best unless someone measured the device: one. TensorFlow Lite 2.16 runs
   * the operations of a step in two thread pools that fight over the cores: on two cores the steps
   * of a small network took 3.5 ms with one thread, and most of them 20 ms with two. Large networks
   * gain from more.
   */
  public static int defaultThreads() {
    return 1;
  }

  /** What is trained. */
  public Bundle bundle() {
    return bundle;
  }

  /** What the bundle says about itself. */
  public Manifest manifest() {
    return manifest;
  }

  /** Samples of a step; fewer are padded with samples of weight zero. */
  public int batchSize() {
    return manifest.batchSize();
  }

  /** Whether a frozen base feeds the trained part, so that its features can be kept. */
  public boolean hasFeatures() {
    return manifest.signatures().containsKey(HEAD);
  }

  /**
   * Paths of the variables that training from a cut on changes.
   *
   * @param cut a layer's name; empty: all that the bundle trains
   * @throws TrainingException the bundle has no such cut
   */
  public List<String> trained(String cut) throws TrainingException {
    return manifest.signatures().get(trainSignature(cut)).updates();
  }

  /**
   * Trains on all samples for some epochs, or until the cutoff. Where a frozen base feeds the
   * trained part, its features are computed once and used again in every epoch and every later call
   * with the same dataset.
   *
   * @throws DivergedException the loss is infinite or NaN; the weights are of no use
   * @throws TrainingException the options make no sense for this bundle, or TensorFlow Lite failed
   * @throws InterruptedException the thread was interrupted between two steps
   */
  public FitResult fit(Dataset data, FitOptions options, StepListener listener)
      throws TrainingException, InterruptedException {
    return fit(data, options, listener, Stopwatch.WALL);
  }

  FitResult fit(Dataset data, FitOptions options, StepListener listener, Stopwatch clock)
      throws TrainingException, InterruptedException {
    return new Fit(this, data, options, listener, clock).run();
  }

  /**
   * Evaluates on all samples.
   *
   * @throws TrainingException TensorFlow Lite failed
   */
  public Evaluation evaluate(Dataset data) throws TrainingException {
    return evaluate(data, Samples.of(data, manifest.input()), batch, featuresCall());
  }

  /**
   * Evaluates on all samples from what {@link #features} made of them.
   *
   * @param features {@code float32 [n, ...]} of the dataset
   * @throws TrainingException there is no frozen base, or TensorFlow Lite failed
   */
  public Evaluation evaluateHead(Dataset data, Tensor features) throws TrainingException {
    requireFeatures();
    return evaluate(data, Samples.of(features), entering, null);
  }

  /**
   * What the frozen base makes of all samples: {@code float32 [n, ...]}.
   *
   * @throws TrainingException there is no frozen base, the features are more than 2 GiB, or
   *     TensorFlow Lite failed
   */
  public Tensor features(Dataset data) throws TrainingException {
    requireFeatures();
    return apply(data, null, FEATURES, entering.samples());
  }

  /**
   * Class probabilities of all samples: {@code float32 [n, classes]}.
   *
   * @throws TrainingException TensorFlow Lite failed
   */
  public Tensor predict(Dataset data) throws TrainingException {
    SignatureCall infer = call("infer");
    return apply(data, infer, PROBABILITIES, infer.output(PROBABILITIES));
  }

  /**
   * Every state variable by its Keras path, in the manifest's order.
   *
   * @throws TrainingException TensorFlow Lite failed
   */
  public Map<String, Tensor> weights() throws TrainingException {
    return weights.get();
  }

  /**
   * Sets every state variable; momentum starts anew. Doubles and halves are taken for floats.
   *
   * @throws WeightsException a name is unknown or missing, or a shape or type does not fit; nothing
   *     was changed
   * @throws TrainingException TensorFlow Lite failed
   */
  public void setWeights(Map<String, Tensor> values) throws WeightsException, TrainingException {
    weights.set(values);
  }

  /** Gives the model's memory back. The trainer cannot be used any more. */
  @Override
  public void close() {
    interpreter.close();
    if (base != null) {
      base.close();
    }
    calls.clear();
    cachedFor = null;
    cached = null;
  }

  /** Gets ready for steps on a dataset, with the features of a frozen base if they are kept. */
  TrainingStep prepare(Dataset data, FitOptions options) throws TrainingException {
    SignatureCall train = call(trainSignature(options.cut()));
    train.input("learning_rate").putFloat(0, (float) options.learningRate());
    ByteBuffer mu = train.input("mu");
    if (mu != null) {
      mu.putFloat(0, (float) options.mu());
    } else if (options.mu() != 0) {
      throw new TrainingException(
          String.format(
              Locale.ROOT,
              "bundle '%s' was exported without a proximal term; export it with one",
              manifest.name()));
    }
    if (hasFeatures() && options.cacheFeatures()) {
      Samples features = Samples.of(cachedFeatures(data));
      return new TrainingStep(data, features, entering, null, entering, train);
    }
    Samples samples = Samples.of(data, manifest.input());
    return new TrainingStep(data, samples, batch, featuresCall(), entering, train);
  }

  private String trainSignature(String cut) throws TrainingException {
    if (cut.isEmpty()) {
      return hasFeatures() ? HEAD : "train";
    }
    if (!manifest.cuts().contains(cut)) {
      String known = manifest.cuts().isEmpty() ? "none" : String.join(", ", manifest.cuts());
      throw new TrainingException(
          String.format(
              Locale.ROOT, "bundle '%s' has no cut '%s'; it has: %s", manifest.name(), cut, known));
    }
    // Other characters cannot stand in a signature's name (docs/bundle.md).
    return "train_from_" + cut.replaceAll("[^A-Za-z0-9_]", "_");
  }

  private Tensor cachedFeatures(Dataset data) throws TrainingException {
    if (cachedFor != data) {
      cached = null;
      cached = features(data);
      cachedFor = data;
    }
    return cached;
  }

  private Evaluation evaluate(Dataset data, Samples samples, Batch into, SignatureCall features)
      throws TrainingException {
    SignatureCall call = call("evaluate");
    double loss = 0;
    double correct = 0;
    for (int from = 0; from < data.size(); from += into.size()) {
      int count = Math.min(into.size(), data.size() - from);
      into.fill(samples, null, from, count);
      if (features != null) {
        features.run();
      }
      entering.label(data, null, from, count);
      call.run();
      loss += call.output("loss").getFloat(0);
      correct += call.output("correct").getFloat(0);
    }
    return new Evaluation(loss / data.size(), correct / data.size());
  }

  /** Runs the base, if there is one, and then {@code call}, if there is one, on all samples. */
  private Tensor apply(Dataset data, SignatureCall call, String output, ByteBuffer made)
      throws TrainingException {
    SignatureCall features = featuresCall();
    int bytes = made.capacity() / batch.size();
    int[] shape =
        manifest
            .signatures()
            .get(call == null ? FEATURES : call.name())
            .outputs()
            .get(output)
            .shape();
    shape[0] = data.size();
    if ((long) bytes * data.size() > Integer.MAX_VALUE) {
      throw new TrainingException(
          String.format(
              Locale.ROOT,
              "the %s of %d samples are more than 2 GiB: train without keeping them, or with fewer"
                  + " samples",
              output,
              data.size()));
    }
    Tensor result = Tensor.zeros(DType.FLOAT32, shape);
    ByteBuffer all = result.data();
    Samples samples = Samples.of(data, manifest.input());
    for (int from = 0; from < data.size(); from += batch.size()) {
      int count = Math.min(batch.size(), data.size() - from);
      batch.fill(samples, null, from, count);
      if (features != null) {
        features.run();
      }
      if (call != null) {
        call.run();
      }
      ByteBuffer part = made.duplicate();
      part.position(0).limit(count * bytes);
      all.put(part);
    }
    return result;
  }

  /** Turns what is in {@code batch} into what is in {@code entering}; null: they are the same. */
  private SignatureCall featuresCall() {
    return base == null ? null : base.features();
  }

  private String entry() {
    return hasFeatures() ? FEATURES : SAMPLES;
  }

  private SignatureCall call(String name) {
    SignatureCall call = calls.get(name);
    if (call == null) {
      call = new SignatureCall(interpreter, name, signature(name), entering.buffers(entry()));
      calls.put(name, call);
    }
    return call;
  }

  private Signature signature(String name) {
    return manifest.signatures().get(name);
  }

  private void requireFeatures() throws TrainingException {
    if (!hasFeatures()) {
      throw new TrainingException(
          String.format(
              Locale.ROOT,
              "bundle '%s' trains '%s', so there is no frozen base whose features could be computed",
              manifest.name(),
              manifest.trainable()));
    }
  }
}
