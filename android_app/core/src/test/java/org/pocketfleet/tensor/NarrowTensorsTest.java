package org.pocketfleet.tensor;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.Test;
import org.pocketfleet.TestData;

public class NarrowTensorsTest {
  @Test
  public void everyFormatDecodesToWhatPythonDecodes() throws Exception {
    Map<String, Tensor> expected = SafeTensors.read(TestData.bytes("narrow-dense.safetensors"));
    Map<String, Tensor> found = NarrowTensors.decode(stored(), shapes(expected));
    assertEquals(expected.keySet(), found.keySet());
    for (Map.Entry<String, Tensor> one : expected.entrySet()) {
      Tensor tensor = found.get(one.getKey());
      assertTrue(one.getKey(), tensor.hasShape(one.getValue().shape()));
      assertEquals(one.getKey(), one.getValue().data(), tensor.data());
    }
  }

  @Test
  public void whatDoesNotFitIsNamed() throws Exception {
    Map<String, int[]> shapes =
        shapes(SafeTensors.read(TestData.bytes("narrow-dense.safetensors")));
    String[][] removed = {
      {"int8/plain", "variable 'int8/plain'"},
      {"float24/plain:float24", "variable 'float24/plain'"},
      {"float16/looked:up:codebook", "the codebook is empty"},
    };
    for (String[] one : removed) {
      Map<String, Tensor> stored = stored();
      assertTrue(one[0], stored.remove(one[0]) != null);
      refused(one[1], stored, shapes);
    }
    Map<String, Tensor> more = stored();
    more.put("what", Tensor.of(new float[] {1}, 1));
    refused("tensor 'what' is not among the variables", more, shapes);
    Map<String, Tensor> cut = stored();
    cut.put("int4/masked:mask", Tensor.zeros(DType.UINT8, 3));
    refused("variable 'int4/masked'", cut, shapes);
    Map<String, Tensor> outside = stored();
    byte[] ones = new byte[(105 * 4 + 7) / 8];
    Arrays.fill(ones, (byte) 0xff);
    outside.put(
        "float32/looked:up:indices",
        new Tensor(DType.UINT8, new int[] {ones.length}, ByteBuffer.wrap(ones)));
    refused("an index lies outside the codebook of 11 values", outside, shapes);
  }

  private static Map<String, Tensor> stored() throws Exception {
    return new LinkedHashMap<>(SafeTensors.read(TestData.bytes("narrow.safetensors")));
  }

  private static Map<String, int[]> shapes(Map<String, Tensor> tensors) {
    Map<String, int[]> shapes = new LinkedHashMap<>();
    for (Map.Entry<String, Tensor> one : tensors.entrySet()) {
      shapes.put(one.getKey(), one.getValue().shape());
    }
    return shapes;
  }

  private static void refused(
      String message, Map<String, Tensor> stored, Map<String, int[]> shapes) {
    TensorFileException error =
        assertThrows(TensorFileException.class, () -> NarrowTensors.decode(stored, shapes));
    assertTrue(error.getMessage(), error.getMessage().contains(message));
  }
}
