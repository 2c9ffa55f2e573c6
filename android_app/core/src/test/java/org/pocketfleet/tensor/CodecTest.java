package org.pocketfleet.tensor;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.Test;
import org.pocketfleet.TestData;

public class CodecTest {
  private static final String[] CODECS = {
    "float32", "float16", "bfloat16", "int8", "clusters2", "clusters16", "clusters256"
  };

  @Test
  public void everyCodecWritesTheBytesThatPythonWrites() throws Exception {
    Map<String, Tensor> weights = read("weights");
    Map<String, Tensor> base = read("base");
    for (String codec : CODECS) {
      assertSame(codec, read(codec), Codec.of(codec).encode(weights, base));
    }
  }

  @Test
  public void everyCodecReadsWhatPythonReads() throws Exception {
    Map<String, Codec.Spec> specs = specs(read("weights"));
    for (String codec : CODECS) {
      assertSame(codec, read(codec + "-decoded"), sorted(Codec.decode(read(codec), specs), specs));
    }
  }

  @Test
  public void onlyWhatCameIsRead() throws Exception {
    Map<String, Tensor> one =
        Collections.singletonMap("conv/kernel", read("weights").get("conv/kernel"));
    Map<String, Tensor> stored = Codec.of("int8").encode(one, Collections.emptyMap());
    assertEquals(one.keySet(), Codec.decode(stored, specs(read("weights"))).keySet());
  }

  @Test
  public void whatDoesNotFitIsRefusedByName() throws Exception {
    Tensor bytes = Tensor.zeros(DType.UINT8, 3);
    refused("'what' is not among the variables", "what", bytes);
    refused("'what:scale' is not among the variables", "what:scale", Tensor.zeros(DType.FLOAT32));
    refused("variable 'conv/kernel'", "conv/kernel", bytes);
    refused("variable 'conv/kernel'", "conv/kernel:bfloat16", Tensor.zeros(DType.FLOAT32, 360));
    refused("variable 'conv/kernel'", "conv/kernel:indices", bytes);
    refused("'conv/bias' came in parts", "conv/bias:bfloat16", Tensor.zeros(DType.UINT16, 5));
  }

  @Test
  public void anIndexBeyondTheCodebookIsRefused() throws Exception {
    Map<String, Tensor> stored = new LinkedHashMap<>();
    stored.put("same/kernel:codebook", Tensor.of(new float[3], 3));
    Tensor indices = Tensor.zeros(DType.UINT8, 2);
    indices.data().put(1, (byte) 0xff);
    stored.put("same/kernel:indices", indices);
    TensorFileException error =
        assertThrows(TensorFileException.class, () -> Codec.decode(stored, specs(read("weights"))));
    assertTrue(error.getMessage(), error.getMessage().contains("outside the codebook of 3"));
  }

  @Test
  public void aCodecThatDoesNotExistIsNamed() {
    for (String name : new String[] {"", "int4", "clusters", "clusters1", "clusters257"}) {
      IllegalArgumentException error =
          assertThrows(IllegalArgumentException.class, () -> Codec.of(name));
      assertTrue(error.getMessage(), error.getMessage().contains("codec '" + name + "'"));
    }
  }

  private static void refused(String words, String name, Tensor tensor) throws Exception {
    Map<String, Codec.Spec> specs = specs(read("weights"));
    Map<String, Tensor> stored = Collections.singletonMap(name, tensor);
    TensorFileException error =
        assertThrows(TensorFileException.class, () -> Codec.decode(stored, specs));
    assertTrue(error.getMessage(), error.getMessage().contains(words));
  }

  private static void assertSame(
      String codec, Map<String, Tensor> expected, Map<String, Tensor> found) {
    assertEquals(codec, new ArrayList<>(expected.keySet()), new ArrayList<>(found.keySet()));
    for (Map.Entry<String, Tensor> one : expected.entrySet()) {
      String what = codec + " " + one.getKey();
      Tensor tensor = found.get(one.getKey());
      assertEquals(what, one.getValue().type(), tensor.type());
      assertTrue(what, tensor.hasShape(one.getValue().shape()));
      assertEquals(what, one.getValue().data(), tensor.data());
    }
  }

  private static Map<String, Tensor> sorted(
      Map<String, Tensor> tensors, Map<String, Codec.Spec> like) {
    Map<String, Tensor> sorted = new LinkedHashMap<>();
    for (String name : like.keySet()) {
      sorted.put(name, tensors.get(name));
    }
    return sorted;
  }

  private static Map<String, Codec.Spec> specs(Map<String, Tensor> tensors) {
    Map<String, Codec.Spec> specs = new LinkedHashMap<>();
    for (Map.Entry<String, Tensor> one : tensors.entrySet()) {
      specs.put(one.getKey(), new Codec.Spec(one.getValue().shape(), one.getValue().type()));
    }
    return specs;
  }

  private static Map<String, Tensor> read(String name) throws Exception {
    return SafeTensors.read(TestData.bytes("codec-" + name + ".safetensors"));
  }
}
