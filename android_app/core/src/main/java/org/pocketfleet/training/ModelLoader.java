package org.pocketfleet.training;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
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

  private final Manifest manifest;
  private final Interpreter interpreter;

  private ModelLoader(Manifest manifest, Interpreter interpreter) {
    this.manifest = manifest;
    this.interpreter = interpreter;
  }

  /**
   * Loads a model.
   *
   * @throws BundleException its file was altered, or it is not what the manifest says
   * @throws TrainingException TensorFlow Lite cannot be used on this device
   */
  static Interpreter load(Bundle bundle, int threads) throws BundleException, TrainingException {
    ByteBuffer model = bundle.read(Bundle.MODEL).order(ByteOrder.nativeOrder());
    Interpreter interpreter;
    try {
      // It allocates its tensors at once, and so hands to XNNPACK what that can do.
      interpreter = new Interpreter(model, new Interpreter.Options().setNumThreads(threads));
    } catch (IllegalArgumentException error) {
      throw new BundleFormatException(
          String.format(
              Locale.ROOT,
              "the model of bundle '%s' is not accepted by %s (it asks for %s or newer): %s",
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
      new ModelLoader(bundle.manifest(), interpreter).check();
      fits = true;
      return interpreter;
    } finally {
      if (!fits) {
        interpreter.close();
      }
    }
  }

  private void check() throws BundleFormatException {
    require("get");
    require("set");
    require("infer", "x");
    require("evaluate", "x", "y", "w");
    Set<String> there = manifest.signatures().keySet();
    if (there.contains("train_head")) {
      require("features", "x");
      require("train_head", "features", "y", "w", "learning_rate");
      require("evaluate_head", "features", "y", "w");
    } else {
      require("train", "x", "y", "w", "learning_rate");
    }
    List<String> found = Arrays.asList(interpreter.getSignatureKeys());
    for (Map.Entry<String, Signature> signature : manifest.signatures().entrySet()) {
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
