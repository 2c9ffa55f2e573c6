package org.pocketfleet.training;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.pocketfleet.TestData;
import org.pocketfleet.bundle.Bundle;
import org.pocketfleet.data.Dataset;
import org.pocketfleet.data.NpzData;
import org.pocketfleet.tensor.SafeTensors;
import org.pocketfleet.tensor.Tensor;

/** One of the trainings that the Python side did for comparison ({@code cases.json}). */
final class TrainingCase {
  final String name;
  private final JsonObject values;

  private TrainingCase(String name, JsonObject values) {
    this.name = name;
    this.values = values;
  }

  static List<TrainingCase> all() throws Exception {
    List<TrainingCase> cases = new ArrayList<>();
    JsonObject all = JsonParser.parseString(TestData.text("cases.json")).getAsJsonObject();
    for (String name : all.keySet()) {
      cases.add(new TrainingCase(name, all.getAsJsonObject(name)));
    }
    return cases;
  }

  static TrainingCase named(String name) throws Exception {
    for (TrainingCase one : all()) {
      if (one.name.equals(name)) {
        return one;
      }
    }
    throw new AssertionError("no case " + name);
  }

  Bundle bundle() throws Exception {
    return Bundle.load(TestData.file(values.get("bundle").getAsString()), null);
  }

  Trainer trainer() throws Exception {
    return new Trainer(bundle(), 1);
  }

  Dataset data() throws Exception {
    return new NpzData(TestData.file(values.get("data").getAsString())).load(bundle().manifest());
  }

  FitOptions.Builder options() {
    return options((int) number("epochs"));
  }

  FitOptions.Builder options(int epochs) {
    return FitOptions.of(epochs, number("learning_rate"))
        .cut(values.get("cut").getAsString())
        .mu(number("mu"))
        .seed(values.get("seed").getAsLong());
  }

  double number(String key) {
    return values.get(key).getAsDouble();
  }

  List<String> trained() {
    List<String> trained = new ArrayList<>();
    values.getAsJsonArray("trained").forEach(path -> trained.add(path.getAsString()));
    return trained;
  }

  /** The weights after training in Python. */
  Map<String, Tensor> expected() throws Exception {
    return SafeTensors.read(TestData.bytes(name + ".safetensors"));
  }

  /** Largest difference of two sets of weights, relative to the largest weight. */
  static double difference(Map<String, Tensor> one, Map<String, Tensor> other) {
    double largest = 0;
    double difference = 0;
    for (Map.Entry<String, Tensor> entry : one.entrySet()) {
      Tensor tensor = entry.getValue();
      Tensor against = other.get(entry.getKey());
      for (int at = 0; at < tensor.bytes(); at += Float.BYTES) {
        double value = tensor.data().getFloat(at);
        largest = Math.max(largest, Math.abs(value));
        difference = Math.max(difference, Math.abs(value - against.data().getFloat(at)));
      }
    }
    return difference / largest;
  }
}
