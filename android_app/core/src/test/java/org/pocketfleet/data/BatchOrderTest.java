package org.pocketfleet.data;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.zip.CRC32;
import org.junit.Test;
import org.pocketfleet.TestData;

public class BatchOrderTest {
  @Test
  public void theOrderIsNumpys() throws Exception {
    int cases = 0;
    for (String line : TestData.text("permutations.txt").split("\n", -1)) {
      if (line.isEmpty()) {
        continue;
      }
      String[] parts = line.split(" ", -1);
      int count = Integer.parseInt(parts[2]);
      int[] order =
          new BatchOrder(Long.parseLong(parts[0]), count).epoch(Integer.parseInt(parts[1]));
      ByteBuffer bytes = ByteBuffer.allocate(4 * count).order(ByteOrder.LITTLE_ENDIAN);
      bytes.asIntBuffer().put(order);
      CRC32 crc = new CRC32();
      crc.update(bytes.array());
      assertEquals(line, Long.parseLong(parts[3]), crc.getValue());
      cases++;
    }
    assertTrue("only " + cases + " cases", cases > 200);
  }

  @Test
  public void anEpochDoesNotDependOnTheOnesBefore() {
    BatchOrder order = new BatchOrder(5, 100);
    int[] third = order.epoch(3).clone();
    order.epoch(0);
    assertArrayEquals(third, order.epoch(3));
  }

  @Test
  public void seedsAreNaturalNumbers() {
    assertThrows(IllegalArgumentException.class, () -> new BatchOrder(-1, 3));
  }
}
