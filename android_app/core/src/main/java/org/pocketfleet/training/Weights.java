package org.pocketfleet.training;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import org.pocketfleet.bundle.Manifest;
import org.pocketfleet.bundle.Variable;
import org.pocketfleet.tensor.DType;
import org.pocketfleet.tensor.Tensor;
import org.tensorflow.lite.Interpreter;

/** Gets the state variables out of a model and sets them. */
final class Weights {
  private static final int HALF_EXPONENT_BIAS = 15;
  private static final int HALF_MANTISSA_BITS = 10;

  private final Interpreter interpreter;
  private final Manifest manifest;

  Weights(Interpreter interpreter, Manifest manifest) {
    this.interpreter = interpreter;
    this.manifest = manifest;
  }

  /** Every state variable by path, in the manifest's order; new tensors. */
  Map<String, Tensor> get() throws TrainingException {
    Map<String, Tensor> weights = new LinkedHashMap<>();
    Map<String, Object> outputs = new LinkedHashMap<>();
    for (Variable variable : manifest.variables().values()) {
      Tensor value = Tensor.zeros(variable.type(), variable.shape());
      outputs.put(tensorName(weights.size()), nativeOrder(value.data()));
      weights.put(variable.path(), value);
    }
    SignatureCall.run(interpreter, "get", new NoInputs(), outputs);
    return weights;
  }

  /** Sets every state variable. */
  void set(Map<String, Tensor> weights) throws WeightsException, TrainingException {
    Map<String, Variable> variables = manifest.variables();
    for (String name : weights.keySet()) {
      if (!variables.containsKey(name)) {
        throw new WeightsException(
            String.format(
                Locale.ROOT,
                "unknown weight '%s': bundle '%s' has no such variable",
                name,
                manifest.name()));
      }
    }
    Map<String, Object> inputs = new LinkedHashMap<>();
    for (Variable variable : variables.values()) {
      ByteBuffer value = checked(variable, weights.get(variable.path()));
      inputs.put(tensorName(inputs.size()), nativeOrder(value));
    }
    Map<String, Object> outputs = new LinkedHashMap<>();
    manifest
        .signatures()
        .get("set")
        .outputs()
        .forEach((name, spec) -> outputs.put(name, SignatureCall.allocate(spec)));
    SignatureCall.run(interpreter, "set", inputs, outputs);
  }

  private ByteBuffer checked(Variable variable, Tensor value) throws WeightsException {
    String path = variable.path();
    if (value == null) {
      throw new WeightsException(
          String.format(
              Locale.ROOT,
              "missing weight '%s': all %d variables have to be given",
              path,
              manifest.variables().size()));
    }
    if (!value.hasShape(variable.shape())) {
      throw new WeightsException(
          String.format(
              Locale.ROOT,
              "weight '%s' has shape %s, not %s",
              path,
              Arrays.toString(value.shape()),
              Arrays.toString(variable.shape())));
    }
    if (value.type() == variable.type()) {
      return value.data();
    }
    if (variable.type() == DType.FLOAT32
        && (value.type() == DType.FLOAT64 || value.type() == DType.FLOAT16)) {
      return toFloats(value);
    }
    throw new WeightsException(
        String.format(
            Locale.ROOT,
            "weight '%s' has dtype %s, not %s",
            path,
            value.type().numpyName(),
            variable.type().numpyName()));
  }

  private static ByteBuffer toFloats(Tensor value) {
    Tensor floats = Tensor.zeros(DType.FLOAT32, value.shape());
    ByteBuffer from = value.data();
    ByteBuffer to = floats.data();
    while (to.hasRemaining()) {
      to.putFloat(value.type() == DType.FLOAT64 ? (float) from.getDouble() : half(from.getShort()));
    }
    return floats.data();
  }

  /** What the bits of an IEEE half stand for. */
  private static float half(short bits) {
    int exponent = (bits >> HALF_MANTISSA_BITS) & 0x1f;
    int mantissa = bits & 0x3ff;
    double size;
    if (exponent == 0x1f) {
      size = mantissa == 0 ? Double.POSITIVE_INFINITY : Double.NaN;
    } else if (exponent == 0) {
      size = Math.scalb((double) mantissa, 1 - HALF_EXPONENT_BIAS - HALF_MANTISSA_BITS);
    } else {
      int whole = mantissa | (1 << HALF_MANTISSA_BITS);
      size = Math.scalb((double) whole, exponent - HALF_EXPONENT_BIAS - HALF_MANTISSA_BITS);
    }
    return (float) (bits < 0 ? -size : size);
  }

  private static String tensorName(int index) {
    return String.format(Locale.ROOT, "v%04d", index);
  }

  /** TensorFlow Lite takes the machine's order alone; that of every Android is a tensor's. */
  private static ByteBuffer nativeOrder(ByteBuffer data) {
    return data.order(ByteOrder.nativeOrder());
  }
}
