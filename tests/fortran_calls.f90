! What the Fortran module does beside handing on: arrays with their extents backwards, texts, logicals, structs by value,
! counts, integers of both kinds, callbacks, NULL, errors. Run by check_fortran.sh.
module callbacks
    use, intrinsic :: iso_c_binding
    use weft
    implicit none
    integer :: heard = 0
contains
    subroutine listen(user, level, text) bind(C)
        type(c_ptr), value :: user, text
        integer(c_int), value :: level
        if (.not. c_associated(user) .and. c_associated(text) .and. level == WEFT_LOG_WARNING) heard = heard + 1
    end subroutine

    ! sum of x^3, with the right gradient
    function cubes(user, x) bind(C) result(y)
        type(c_ptr), value :: user
        type(weft_tensor), intent(in) :: x(*)
        type(weft_tensor) :: y
        if (c_associated(user)) return
        y = weft_sum(weft_mul(x(1), weft_mul(x(1), x(1))), WEFT_ALL)
    end function
end module

program fortran_calls
    use, intrinsic :: iso_c_binding
    use weft
    use callbacks
    implicit none
    integer :: failed = 0, status
    type(weft_fabric) :: f

    call weft_open_text(f, "strategy=nonsense", status)
    call check(status == WEFT_EARG, "a bad option is WEFT_EARG")
    call check(index(weft_message(f), "nonsense") > 0, "the message comes as a text")
    call check(weft_close(f) /= 0, "weft_close says so")
    call check(.not. weft_associated(f), "weft_close leaves no fabric")

    call weft_open(f, weft_open_options(precision=weft_text("64-true"), seed=7, threads=1), status)
    call check(status == WEFT_OK .and. weft_associated(f), "it opens")
    call check(weft_precision_name(f) == "64-true", "a text among the options")
    call check(weft_seed(f) == 7, "a number among the options")
    call check(weft_is_global_zero(f) .and. weft_world_size(f) == 1, "logical and integer results")
    call arrays()
    call results()
    call training()
    call counts()
    call calls_back()
    call errors()
    call check(weft_close(f) == 0, "it closes")
    if (failed > 0) error stop 1
    print '(a)', "# fortran_calls: all good"

contains

    subroutine check(good, what)
        logical, intent(in) :: good
        character(*), intent(in) :: what
        if (good) return
        failed = failed + 1
        print '(2a)', "failed: ", what
    end subroutine

    subroutine arrays()
        real(c_double), target :: a(3, 2) = reshape([1d0, 2d0, 3d0, 4d0, 5d0, 6d0], [3, 2]), b(3, 2), product(2, 2)
        real(c_float), target :: small(4)
        integer(c_int64_t), target :: label(5) = [0, 1, 2, 3, 4]
        real(c_double), target :: scalar = 2.5d0
        type(weft_tensor) :: t, c
        t = weft_wrap(f, a)
        call check(weft_rank_of(t) == 2, "rank")
        call check(weft_dim(t, 0) == 2 .and. weft_dim(t, 1) == 3, "a(3, 2) is the tensor (2, 3)")
        call check(weft_dtype_of(t) == WEFT_F64 .and. weft_dtype_of(weft_wrap(f, label)) == WEFT_I64, "types")
        call check(weft_rank_of(weft_wrap(f, scalar)) == 0, "a scalar is of rank 0")
        a(3, 1) = 30
        call weft_copy_out(t, b, status)
        call check(status == WEFT_OK .and. all(b == a), "wrapped memory is the array's own")
        c = weft_tensor_of(f, a)
        a(3, 1) = 3
        call weft_copy_out(c, b, status)
        call check(b(3, 1) == 30, "weft_tensor_of copies")
        ! t t^T of the tensor is a^T a of the array
        call weft_copy_out(weft_matmul(t, weft_transpose(t, 0, 1)), product, status)
        call check(status == WEFT_OK .and. all(product == matmul(transpose(a), a)), "a product")
        call check(weft_item(weft_sum(weft_wrap(f, a), WEFT_ALL)) == 21, "a sum over all")
        call weft_copy_in(c, b)
        t = weft_full(f, 2d0, [4, 5], WEFT_F32)
        call check(weft_dim(t, 0) == 4 .and. weft_dim(t, 1) == 5, "written shapes are Weft's")
        call check(weft_dim(weft_reshape(t, [5_c_int64_t, -1_c_int64_t]), 1) == 4, "and may be of 64 bits")
        call check(weft_dtype_size(WEFT_F32) == 4 .and. weft_dtype_name(WEFT_BF16) == "bf16", "enumerators")
        small = weft_rank_of(t)
        call weft_copy_out(weft_full(f, 1d0, [4], WEFT_F32), small)
        call check(all(small == 1), "single precision")
    end subroutine

    subroutine results()
        type(weft_batch) :: b
        real(c_double), target :: x(3, 2) = 1
        type(weft_timing) :: spent
        type(weft_traffic) :: traffic
        type(weft_memory_report) :: memory
        b = weft_batch_of(f, weft_wrap(f, x), weft_tensor(), 10, 20)
        call check(b%base == 10 .and. b%global_rows == 20 .and. b%rows == 2, "a struct comes by value")
        call check(.not. weft_associated(b%y) .and. weft_associated(b%x), "NULL inside it")
        spent = weft_timing_take(f)
        call check(spent%steps == 0 .and. spent%step >= 0, "timing")
        traffic = weft_traffic_count(f)
        call check(traffic%gradient_reduces == 0 .and. traffic%collectives >= 0, "traffic")
        memory = weft_memory(f)
        call check(memory%kind(WEFT_MEMORY_ARENA)%now > 0 .and. &
                   sum(memory%kind%now) == memory%device%now, "memory, by kinds from 0")
        call check(weft_memory_name(WEFT_MEMORY_GRADS) == "grads", "their names")
        call check(weft_version() /= "" .and. weft_status_name(WEFT_ESHAPE) == "WEFT_ESHAPE", "texts")
    end subroutine

    subroutine training()
        integer, parameter :: rows = 12
        real(c_double), target :: x(4, rows)
        integer(c_int32_t), target :: y(rows)
        type(weft_module) :: model
        type(weft_optimizer) :: sgd
        type(weft_loader) :: train
        type(weft_batch) :: b
        type(weft_tensor) :: loss
        real(c_double) :: first, last
        integer :: i, batches
        do i = 1, rows
            y(i) = mod(i, 3)
            x(:, i) = [real(y(i), c_double), 1d0 - y(i), 0.5d0, 0.25d0*y(i)**2]
        end do
        model = weft_nn_sequential(f, [weft_nn_linear(f, 4, 8), weft_nn_relu(f), weft_nn_linear(f, 8_c_int64_t, 3_c_int64_t)])
        sgd = weft_sgd(model, weft_sgd_options(lr=0.5d0, momentum=0.9d0, nesterov=.true.))
        train = weft_loader_arrays(f, x, y, weft_loader_options(global_batch=4, epochs=30, shuffle=.true.))
        call check(weft_loader_rows(train) == rows, "rows are the last extent")
        call weft_setup(f, model, sgd)
        call weft_setup_loader(f, train)
        call check(weft_param_count(model) == 4 .and. weft_param_name(model, 0) == "0.weight", "parameters")
        batches = 0
        first = 0
        last = 0
        do while (weft_next(train, b))
            loss = weft_cross_entropy(weft_forward(model, b%x), b%y)
            call weft_zero_grad(sgd)
            call weft_backward(f, loss)
            call weft_step(sgd, status)
            last = weft_item(loss)
            if (batches == 0) first = last
            batches = batches + 1
            call check(status == WEFT_OK .and. b%rows == 4, "a step")
        end do
        call check(batches == 90, "all batches came")
        call check(last < 0.1d0 .and. first > 0.5d0, "it learned")
        call check(weft_error(f) == WEFT_OK, "without an error")
        call weft_train(model, .false.)
        call check(.not. weft_is_training(model), "a logical argument")
    end subroutine

    subroutine counts()
        real(c_double) :: values(3) = [1d0, 2d0, 3d0]
        real(c_double), save, target :: best(1) = 4
        call weft_sum_over_ranks(f, values, status)
        call check(status == WEFT_OK .and. all(values == [1d0, 2d0, 3d0]), "the count is the array's size")
        call weft_track_f64(f, "best", best, status)
        call check(status == WEFT_OK, "a variable is tracked")
        call weft_track_f64(f, "best", best, status)
        call check(status == WEFT_ESTATE, "but once")
        call weft_clear(f)
    end subroutine

    subroutine calls_back()
        real(c_double), target :: x(5) = [1d0, -2d0, 0.5d0, 3d0, -1d0]
        real(c_double) :: worst
        type(c_funptr) :: function
        worst = -1
        function = c_funloc(cubes)
        call weft_gradcheck(f, function, c_null_ptr, [weft_wrap(f, x)], 0d0, 0d0, worst, status)
        call check(status == WEFT_OK .and. worst >= 0 .and. worst < 1d-7, "a function of the program's own")
        function = c_funloc(listen)
        call weft_log_to(function, c_null_ptr)
        call weft_log_level(WEFT_LOG_WARNING)
        call weft_save(f, "/dev/null/nowhere", status)
        call check(status < 0 .and. heard == 1, "messages go where the program wants them")
        call weft_log_level(WEFT_LOG_SILENT)
        call weft_log_to(c_null_funptr, c_null_ptr)
    end subroutine

    subroutine errors()
        real(c_double), target :: a(3, 2) = 0, x(3, 5) = 0
        real(c_float), target :: wrong(3, 2)
        integer(c_int64_t), target :: y(4) = 0
        type(weft_loader) :: l
        call weft_copy_out(weft_wrap(f, a), wrong, status)
        call check(status == WEFT_EARG, "an array of another type is refused")
        call check(weft_associated(weft_wrap(f, a)) .or. weft_error(f) /= WEFT_OK, "an error sticks")
        call weft_clear(f)
        l = weft_loader_arrays(f, x, y)
        call check(.not. weft_associated(l) .and. weft_error(f) == WEFT_ESHAPE, "rows that do not fit are refused")
        call check(.not. weft_associated(weft_relu(weft_wrap(f, a))), "NULL while it sticks")
        call weft_clear(f)
        call weft_fail(f, WEFT_EDATA, "100% of the author's own", status)
        call check(status == WEFT_EDATA .and. weft_error(f) == WEFT_EDATA, "an error of the program's own")
        call check(index(weft_message(f), "100% of the author's own") > 0, "with its message")
        call weft_clear(f, status)
        call check(status == WEFT_OK .and. weft_error(f) == WEFT_OK, "and cleared")
    end subroutine
end program
