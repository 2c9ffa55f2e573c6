package org.pocketfleet.training;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.pocketfleet.bundle.Bundle;
import org.pocketfleet.bundle.BundleException;
import org.pocketfleet.bundle.BundleFormatException;
import org.pocketfleet.bundle.Manifest;
import org.pocketfleet.bundle.Signature;
import org.pocketfleet.bundle.TensorSpec;
import org.tensorflow.lite.Interpreter;

/** Loads a bundle's model and checks that it is what the manifest says. */
final class ModelLoader {
  private static final List<String> BATCHED = Arrays.asList("x", "features", "y", "w");

  private static final String FEATURES = "features";

  private final Manifest manifest;
  private final Interpreter interpreter;

  private ModelLoader(Manifest manifest, Interpreter interpreter) {
    this.manifest = manifest;
    this.interpreter = interpreter;
  }

  /**
   * Loads the model that is trained.
   *
   * @throws BundleException its file was altered, or it is not what the manifest says
   * @throws TrainingException TensorFlow Lite cannot be used on this device
   */
  static Interpreter model(Bundle bundle, int threads) throws BundleException, TrainingException {
    return load(bundle, Bundle.MODEL, threads);
  }

  /**
   * Loads the frozen base.
   *
   * @throws BundleException its file was altered, or it is not what the manifest says
   * @throws TrainingException TensorFlow Lite cannot be used on this device
   */
  static Interpreter base(Bundle bundle, int threads) throws BundleException, TrainingException {
    return load(bundle, Bundle.BASE, threads);
  }

  private static Interpreter load(Bundle bundle, String file, int threads)
      throws BundleException, TrainingException {
    ByteBuffer model = bundle.read(file).order(ByteOrder.nativeOrder());
    Interpreter interpreter;
    try {
      // It allocates its tensors at once, and so hands to XNNPACK what that can do.
      interpreter = new Interpreter(model, new Interpreter.Options().setNumThreads(threads));
    } catch (IllegalArgumentException error) {
      throw new BundleFormatException(
          String.format(
              Locale.ROOT,
              "%s of bundle '%s' is not accepted by %s (it asks for %s or newer): %s",
              file,
              bundle.manifest().name(),
              Trainer.runtime(),
              bundle.manifest().minimumRuntime(),
              error.getMessage()));
    } catch (UnsatisfiedLinkError | IllegalStateException error) {
      throw new TrainingException(
          "TensorFlow Lite cannot be used on this device: " + error.getMessage(), error);
    }
    boolean fits = false;
    try {
      new ModelLoader(bundle.manifest(), interpreter).check(file);
      fits = true;
      return interpreter;
    } finally {
      if (!fits) {
        interpreter.close();
      }
    }
  }

  private void check(String file) throws BundleFormatException {
    boolean hasBase = manifest.signatures().containsKey(FEATURES);
    String entry = hasBase ? FEATURES : "x";
    require("get");
    require("set");
    require("infer", entry);
    require("evaluate", entry, "y", "w");
    require(hasBase ? "train_head" : "train", entry, "y", "w", "learning_rate");
    if (hasBase) {
      require(FEATURES, "x");
    }
    List<String> found = Arrays.asList(interpreter.getSignatureKeys());
    for (Map.Entry<String, Signature> signature : manifest.signatures().entrySet()) {
      if (file.equals(Bundle.BASE) != signature.getKey().equals(FEATURES)) {
        continue;
      }
      if (!found.contains(signature.getKey())) {
        throw misfit("its model has no signature " + signature.getKey());
      }
      checkTensors(signature.getKey(), signature.getValue());
    }
  }

  private void require(String name, String... inputs) throws BundleFormatException {
    Signature signature = manifest.signatures().get(name);
    if (signature == null || !signature.inputs().keySet().containsAll(Arrays.asList(inputs))) {
      throw misfit("it has no signature " + name + " of " + Arrays.toString(inputs));
    }
  }

  /** A tensor of another shape than was said would be accepted and give nonsense. */
  private void checkTensors(String name, Signature signature) throws BundleFormatException {
    Map<String, TensorSpec> inputs = signature.inputs();
    checkNames(name, inputs, interpreter.getSignatureInputs(name));
    checkNames(name, signature.outputs(), interpreter.getSignatureOutputs(name));
    for (Map.Entry<String, TensorSpec> input : inputs.entrySet()) {
      int[] said = input.getValue().shape();
      int[] found = interpreter.getInputTensorFromSignature(input.getKey(), name).shape();
      boolean batched = BATCHED.contains(input.getKey());
      if (!Arrays.equals(found, said)
          || (batched && (said.length == 0 || said[0] != manifest.batchSize()))) {
        throw misfit(
            String.format(
                Locale.ROOT,
                "its model takes %s for %s of %s, its manifest says %s in batches of %d",
                Arrays.toString(found),
                input.getKey(),
                name,
                Arrays.toString(said),
                manifest.batchSize()));
      }
    }
  }

  private void checkNames(String signature, Map<String, TensorSpec> said, String[] found)
      throws BundleFormatException {
    if (said.size() != found.length || !said.keySet().containsAll(Arrays.asList(found))) {
      throw misfit("its model has in " + signature + " the tensors " + Arrays.toString(found));
    }
  }

  private BundleFormatException misfit(String what) {
    return new BundleFormatException("bundle '" + manifest.name() + "' is no use: " + what);
  }
}
