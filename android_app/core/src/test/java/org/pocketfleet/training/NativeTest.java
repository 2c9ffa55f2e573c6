package org.pocketfleet.training;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;

import java.nio.ByteBuffer;
import org.junit.Test;
import org.tensorflow.lite.Interpreter;
import org.tensorflow.lite.TensorFlowLite;

/** The tests run on the very library that phones run. */
public class NativeTest {
  @Test
  public void theLibraryOfTheAarIsLoaded() {
    TensorFlowLite.init();
    assertEquals("2.16.1", TensorFlowLite.runtimeVersion());
  }

  @Test
  public void whatIsNoModelIsRefusedByTheLibrary() {
    assertThrows(
        IllegalArgumentException.class, () -> new Interpreter(ByteBuffer.allocateDirect(64)));
  }
}
