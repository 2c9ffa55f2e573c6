package org.pocketfleet.training;

import java.nio.ByteBuffer;
import java.util.Map;
import org.pocketfleet.bundle.Bundle;
import org.pocketfleet.bundle.BundleException;
import org.tensorflow.lite.Interpreter;

/** The frozen base of a bundle: a plain inference model that turns samples into features. */
final class FrozenBase implements AutoCloseable {
  private static final String FEATURES = "features";

  private final Interpreter interpreter;
  private final SignatureCall call;

  /**
   * Loads the base.
   *
   * @param samples the buffers that samples are read from
   * @param features the buffers that their features are written to
   * @throws BundleException the base's file was altered, or it is not what the manifest says
   * @throws TrainingException TensorFlow Lite cannot be used on this device
   */
  FrozenBase(Bundle bundle, int threads, Batch samples, Batch features)
      throws BundleException, TrainingException {
    this.interpreter = ModelLoader.base(bundle, threads);
    Map<String, ByteBuffer> buffers = samples.buffers("x");
    buffers.put(FEATURES, features.samples());
    this.call =
        new SignatureCall(
            interpreter, FEATURES, bundle.manifest().signatures().get(FEATURES), buffers);
  }

  /** Computes the features of the samples that are in the buffers. */
  SignatureCall features() {
    return call;
  }

  @Override
  public void close() {
    interpreter.close();
  }
}
