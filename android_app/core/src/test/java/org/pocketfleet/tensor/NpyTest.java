package org.pocketfleet.tensor;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.junit.Test;

public class NpyTest {
  @Test
  public void headersAreNumPysOwn() {
    assertHeader(
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }", DType.FLOAT32, 3, 4);
    assertHeader("{'descr': '|u1', 'fortran_order': False, 'shape': (7,), }", DType.UINT8, 7);
    assertHeader("{'descr': '<i8', 'fortran_order': False, 'shape': (), }", DType.INT64);
    assertHeader(
        "{'descr': '|b1', 'fortran_order': False, 'shape': (0, 123456, 3), }",
        DType.BOOL,
        0,
        123456,
        3);
    int[] many = new int[31];
    assertEquals(192, Npy.header(DType.FLOAT64, many).length);
  }

  private static void assertHeader(String text, DType type, int... shape) {
    byte[] header = Npy.header(type, shape);
    StringBuilder expected = new StringBuilder("NUMPY\1\0v\0").append(text);
    while (expected.length() < 126) {
      expected.append(' ');
    }
    expected.append('\n');
    assertEquals((byte) 0x93, header[0]);
    assertEquals(
        expected.toString(), new String(header, 1, header.length - 1, StandardCharsets.ISO_8859_1));
  }

  @Test
  public void everyTypeComesBackWithoutACopy() throws Exception {
    for (DType type : DType.values()) {
      byte[] header = Npy.header(type, new int[] {2, 3});
      ByteBuffer file = ByteBuffer.allocateDirect(header.length + 6 * type.bytes());
      file.put(header).flip().limit(file.capacity());
      Tensor tensor = Npy.read(file);
      assertEquals(type.numpyName() + "[2, 3]", tensor.toString());
      file.put(header.length, (byte) 1);
      assertEquals(1, tensor.data().get(0));
    }
  }

  @Test
  public void columnMajorAndBigEndianAreBroughtIntoOrder() throws Exception {
    ByteBuffer file = start("{'descr': '>f4', 'fortran_order': True, 'shape': (2, 3), }", 24);
    for (float value : new float[] {0, 3, 1, 4, 2, 5}) {
      file.putFloat(value);
    }
    file.flip();
    float[] values = new float[6];
    Npy.read(file).data().asFloatBuffer().get(values);
    assertArrayEquals(new float[] {0, 1, 2, 3, 4, 5}, values, 0);
  }

  @Test
  public void whatIsNotAnArrayOfNumbersIsRefused() {
    String good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
    Object[][] cases = {
      {good, 7, "7 bytes of data where float32[2] needs 8"},
      {good, 9, "9 bytes of data"},
      {good.replace("<f4", "|O8"), 8, "not one of an array of numbers"},
      {good.replace("<f4", "<f1"), 8, "not one of an array of numbers"},
      {good.replace("<f4", "<U4"), 8, "not one of an array of numbers"},
      {good.replace("(2,)", "(2)x"), 8, "not one of an array of numbers"},
      {good.replace("(2,)", "(-2,)"), 8, "not one of an array of numbers"},
      {good.replace("(2,)", "(999999999999, 999999999999)"), 8, "8 bytes of data"},
      {good.replace("(2,)", "(999999999999, 0)"), 0, "extent is too large"},
      {"__import__('os')", 8, "not one of an array of numbers"},
    };
    for (Object[] each : cases) {
      ByteBuffer file = start((String) each[0], (Integer) each[1]);
      file.position(file.capacity()).flip();
      TensorFileException error =
          assertThrows((String) each[0], TensorFileException.class, () -> Npy.read(file));
      assertTrue(error.getMessage(), error.getMessage().contains((String) each[2]));
    }
  }

  @Test
  public void beginningsThatAreNoneAreRefused() {
    byte[] good = Npy.header(DType.FLOAT32, new int[] {});
    for (int length = 0; length < good.length; length++) {
      ByteBuffer cut = ByteBuffer.wrap(good, 0, length);
      assertThrows(TensorFileException.class, () -> Npy.read(cut));
    }
    for (int at : new int[] {0, 6, 8, 9}) {
      byte[] odd = good.clone();
      odd[at] = (byte) 0xff;
      assertThrows(TensorFileException.class, () -> Npy.read(ByteBuffer.wrap(odd)));
    }
  }

  @Test
  public void typesGoByNumPysNames() {
    assertEquals(DType.FLOAT32, Npy.type("float32"));
    assertEquals(DType.FLOAT32, Npy.type(">f4"));
    assertEquals(DType.BOOL, Npy.type("|b1"));
    assertEquals(null, Npy.type("<float32"));
    assertEquals(null, Npy.type("complex64"));
    assertEquals(null, Npy.type(""));
  }

  private static ByteBuffer start(String description, int bytes) {
    byte[] text = description.getBytes(StandardCharsets.US_ASCII);
    byte[] header = Npy.header(DType.FLOAT32, new int[] {});
    Arrays.fill(header, 10, header.length - 1, (byte) ' ');
    System.arraycopy(text, 0, header, 10, text.length);
    ByteBuffer file = ByteBuffer.allocate(header.length + bytes);
    file.put(header);
    return file;
  }
}
